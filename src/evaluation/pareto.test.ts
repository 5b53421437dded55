import assert from 'node:assert/strict';
import { test } from 'node:test';
import { paretoOptimal } from './pareto.ts';

const choices = (...pairs: readonly (readonly [cost: number, quality: number])[]) =>
  pairs.map(([cost, quality]) => ({ cost, quality }));

test('a choice is optimal unless another one is nowhere worse and somewhere better', () => {
  const found = paretoOptimal(choices([1, 10], [2, 30], [2, 20], [3, 30], [4, 40]));
  assert.deepEqual(found, [true, true, false, false, true]);
});

test('equal choices are optimal together, and what has no error is better than all', () => {
  assert.deepEqual(paretoOptimal(choices([1, 10], [1, 10])), [true, true]);
  const exact = choices([9, Infinity], [10, Infinity], [5, 40], [9, 80]);
  assert.deepEqual(paretoOptimal(exact), [true, false, true, false]);
  assert.deepEqual(paretoOptimal([]), []);
});

test('the optimal choices of many are those that no pairwise comparison rules out', () => {
  const many = Array.from({ length: 60 }, (_, i) => ({
    cost: (i * 37) % 61,
    quality: (i * 53) % 59,
  }));
  const optimal = many.filter((_, i) => paretoOptimal(many)[i]).sort((a, b) => a.cost - b.cost);
  assert.ok(optimal.length > 1);
  for (const [i, { quality }] of optimal.entries()) {
    assert.ok(i === 0 || quality > optimal[i - 1].quality);
  }
  for (const one of many) {
    assert.ok(optimal.some(({ cost, quality }) => cost <= one.cost && quality >= one.quality));
  }
});

test('what is no number is refused', () => {
  assert.throws(() => paretoOptimal(choices([1, Number.NaN])), { code: 'invalid-argument' });
});
