import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drawConditioningDropout } from './conditioning-dropout.ts';
import {
  philox,
  type RandomPurpose,
  type RandomState,
  RandomStream,
  shuffledOrder,
} from './random-stream.ts';

/** Known answers of the authors' own implementation (Random123, kat_vectors, philox4x32 10). */
const known = [
  [
    '00000000 00000000 00000000 00000000',
    '00000000 00000000',
    '6627e8d5 e169c58d bc57ac4c 9b00dbd8',
  ],
  [
    'ffffffff ffffffff ffffffff ffffffff',
    'ffffffff ffffffff',
    '408f276d 41c83b0e a20bc7c6 6d5451fd',
  ],
  [
    '243f6a88 85a308d3 13198a2e 03707344',
    'a4093822 299f31d0',
    'd16cfe09 94fdcceb 5001e420 24126ea1',
  ],
];

const numbers = (text: string) => text.split(' ').map((word) => Number.parseInt(word, 16));

test('Philox gives the known answers', () => {
  for (const [counter, key, expected] of known) {
    assert.deepEqual([...philox(numbers(counter), numbers(key))], numbers(expected));
  }
});

test('a stream goes on from its state as if it had not been interrupted', () => {
  const whole = RandomStream.start(7, 'noise');
  const first = RandomStream.start(7, 'noise');
  assert.deepEqual(whole.normals(5), first.normals(5));
  first.uniform();
  whole.uniform();
  const state: RandomState = JSON.parse(JSON.stringify(first.state));
  assert.deepEqual(first.state, { seed: 7, purpose: 'noise', index: 0, position: 3 });
  const second = new RandomStream(state);
  assert.deepEqual(whole.normals(9), second.normals(9));
  assert.equal(whole.below(1000), second.below(1000));
});

test('seeds, purposes and indices have numbers of their own', () => {
  const draws = [
    RandomStream.start(1, 'noise'),
    RandomStream.start(2, 'noise'),
    RandomStream.start(1 + 2 ** 32, 'noise'),
    RandomStream.start(1, 'timesteps'),
    RandomStream.start(1, 'noise', 1),
    new RandomStream({ seed: 1, purpose: 'noise', index: 0, position: 2 ** 32 }),
  ].map((stream) => stream.uniform());
  assert.equal(new Set(draws).size, draws.length);
});

test('uniform and normal numbers have their moments', () => {
  const stream = RandomStream.start(3, 'noise');
  const uniforms = Array.from({ length: 20_000 }, () => stream.uniform());
  assert.ok(uniforms.every((u) => u >= 0 && u < 1));
  // Five standard errors of the mean: 5 · √(1/12) / √20000, and of the variance for normals.
  assert.ok(Math.abs(mean(uniforms) - 0.5) < 0.0103);
  const normals = [...stream.normals(40_000)];
  assert.ok(Math.abs(mean(normals)) < 0.025);
  assert.ok(Math.abs(mean(normals.map((x) => x * x)) - 1) < 0.036);
  assert.ok(Math.abs(mean(normals.map((x) => x ** 4)) - 3) < 0.25);
  const neighbours = normals.slice(1).map((x, i) => x * normals[i]);
  assert.ok(Math.abs(mean(neighbours)) < 0.025);
});

function mean(values: readonly number[]): number {
  return values.reduce((sum, x) => sum + x, 0) / values.length;
}

test('a shuffled order is a permutation, and each place gets each number about equally often', () => {
  const counts = Array.from({ length: 4 }, () => [0, 0, 0, 0]);
  for (let index = 0; index < 4000; index++) {
    const order = shuffledOrder(4, RandomStream.start(5, 'shuffling', index));
    assert.deepEqual([...order].sort(), [0, 1, 2, 3]);
    for (const [place, number] of order.entries()) counts[place][number]++;
  }
  // Five standard deviations of a binomial of 4000 draws at 1/4.
  for (const count of counts.flat()) assert.ok(Math.abs(count - 1000) < 137, `${counts}`);
});

test('states out of their ranges are refused', () => {
  const sound = { seed: 1, purpose: 'noise' as RandomPurpose, index: 0, position: 0 };
  const wrong = [
    { seed: -1 },
    { seed: 0.5 },
    { seed: 2 ** 53 },
    { index: 2 ** 32 },
    { position: Number.NaN },
    { purpose: 'toString' as RandomPurpose },
  ];
  for (const change of wrong) {
    assert.throws(() => new RandomStream({ ...sound, ...change }), { code: 'invalid-argument' });
  }
});

test('text is left out as often as asked for', () => {
  const drawn = (probability: number) =>
    drawConditioningDropout(probability, 4000, RandomStream.start(1, 'conditioning'));
  const dropped = drawn(0.1).filter(Boolean).length;
  // Five standard deviations of a binomial of 4000 draws at 0.1.
  assert.ok(Math.abs(dropped - 400) < 95, `${dropped}`);
  assert.ok(drawn(1).every(Boolean) && !drawn(0).some(Boolean));
  for (const wrong of [-0.1, 1.1, Number.NaN]) {
    assert.throws(() => drawn(wrong), { code: 'invalid-argument' });
  }
});
