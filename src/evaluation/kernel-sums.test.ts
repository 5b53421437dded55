import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hashedUniform } from '../models/random-weights.ts';
import type { FeatureRows } from './feature-extractor.ts';
import { type ChosenRows, kernelSums } from './kernel-sums.ts';

const DIMENSIONS = 5;

function rows(name: string, count: number): FeatureRows {
  const data = hashedUniform(name, [count, DIMENSIONS], 1).data as Float32Array;
  return { data, dimensions: DIMENSIONS };
}

function product(a: FeatureRows, i: number, b: FeatureRows, j: number): number {
  let sum = 0;
  for (let k = 0; k < DIMENSIONS; k++) {
    sum += a.data[i * DIMENSIONS + k] * b.data[j * DIMENSIONS + k];
  }
  return sum;
}

function plainSums(a: ChosenRows, b: ChosenRows, pairs: 'all' | 'others'): number[] {
  return a.subsets.map((chosen, subset) => {
    let sum = 0;
    for (const i of chosen) {
      for (const j of b.subsets[subset]) {
        if (pairs === 'all' || i !== j)
          sum += (product(a.rows, i, b.rows, j) / DIMENSIONS + 1) ** 3;
      }
    }
    return sum;
  });
}

/** Every `stride`-th row, from another one in each subset. */
function everyOf(set: FeatureRows, stride: number, subsets: number): ChosenRows {
  const count = set.data.length / DIMENSIONS;
  const chosen = Array.from({ length: subsets }, (_, offset) =>
    Uint32Array.from(
      { length: Math.floor((count - 1 - offset) / stride) + 1 },
      (_, k) => offset + k * stride,
    ),
  );
  return { rows: set, subsets: chosen };
}

test('sums over subsets are those of their pairs, whether or not they share products', async () => {
  // Longer than a block of products on either side.
  const [a, b] = [rows('a', 700), rows('b', 1100)];
  for (const [stride, subsets] of [
    [2, 2],
    [1, 1],
    [2, 5],
    [100, 3],
  ]) {
    const [x, y] = [everyOf(a, stride, subsets), everyOf(b, stride, subsets)];
    for (const [left, right, pairs] of [
      [x, y, 'all'],
      [y, y, 'others'],
    ] as const) {
      const expected = plainSums(left, right, pairs);
      const actual = await kernelSums(left, right, pairs);
      for (const [i, value] of expected.entries()) {
        const off = Math.abs(actual[i] - value);
        assert.ok(off <= 1e-6 * value, `stride ${stride}: ${actual[i]}, not ${value}`);
      }
    }
  }
});
