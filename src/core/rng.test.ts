import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { BookendError } from './errors.ts';
import { TorchGenerator } from './rng.ts';

interface Draw {
  kind: 'normal' | 'uniform';
  count: number;
  values: number[];
}

const golden: { cases: { seed: string; draws: Draw[] }[] } = JSON.parse(
  readFileSync(new URL('../../test/golden/rng/draws.json', import.meta.url), 'utf8'),
);

test('draws equal those of torch, call after call', async (t) => {
  for (const { seed, draws } of golden.cases) {
    const name = `seed ${seed}: ${draws.map((d) => `${d.count} ${d.kind}`).join(', ')}`;
    await t.test(name, () => {
      const generator = new TorchGenerator(BigInt(seed));
      for (const { kind, count, values } of draws) {
        if (kind === 'uniform') {
          const drawn = Array.from(generator.uniformFloat32(count), (u) => u * 2 ** 24);
          assert.deepEqual(drawn, values);
        } else {
          const drawn = generator.normalFloat32(count);
          for (let i = 0; i < count; i++) {
            const error = Math.abs(drawn[i] - values[i]);
            assert.ok(error <= 1e-6, `normal ${i}: ${drawn[i]} instead of ${values[i]}`);
          }
        }
      }
    });
  }
});

test('only the low 32 bits of the seed count, and number and bigint seeds agree', () => {
  const small = new TorchGenerator(7).uniformFloat32(8);
  assert.deepEqual(new TorchGenerator(2n ** 32n + 7n).uniformFloat32(8), small);
  assert.notDeepEqual(new TorchGenerator(8).uniformFloat32(8), small);
});

test('a long draw has the moments of the standard normal distribution', () => {
  const drawn = new TorchGenerator(1).normalFloat32(100_000);
  let sum = 0;
  let squares = 0;
  for (const x of drawn) {
    sum += x;
    squares += x * x;
  }
  // Five standard errors of the mean and of the variance.
  assert.ok(Math.abs(sum / drawn.length) < 0.016);
  assert.ok(Math.abs(squares / drawn.length - 1) < 0.023);
});

test('seeds outside torch’s range are refused', () => {
  for (const seed of [-1, 0.5, Number.NaN, 2 ** 60, -1n, 2n ** 64n]) {
    assert.throws(
      () => new TorchGenerator(seed),
      (error) => error instanceof BookendError && error.code === 'invalid-argument',
    );
  }
});
