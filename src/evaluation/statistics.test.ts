import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deviation, summarize, summarizeMedian } from './statistics.ts';

test('a summary of known values', () => {
  const { halfWidth, ...summary } = summarize([4, 1, 3, 2]);
  assert.deepEqual(summary, { count: 4, mean: 2.5, median: 2.5, lowest: 1, highest: 4 });
  assert.ok(Math.abs(halfWidth - 1.96 * Math.sqrt(5 / 3 / 4)) < 1e-12);
});

test('one value has no deviation', () => {
  assert.ok(Number.isNaN(deviation([3])));
  assert.ok(Number.isNaN(summarize([3]).halfWidth));
});

test('the interval of a median is that of order statistics', () => {
  const upTo = (count: number) => Array.from({ length: count }, (_, i) => count - i);
  assert.deepEqual(summarizeMedian(upTo(7)), { count: 7, median: 4, low: 1, high: 7 });
  // Conover, "Practical Nonparametric Statistics": for 100 draws, ranks 40 and 61.
  assert.deepEqual(summarizeMedian(upTo(100)), { count: 100, median: 50.5, low: 40, high: 61 });
  assert.deepEqual(summarizeMedian([3]), { count: 1, median: 3, low: 3, high: 3 });
});
