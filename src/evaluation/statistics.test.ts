import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deviation, summarize } from './statistics.ts';

test('a summary of known values', () => {
  const { halfWidth, ...summary } = summarize([4, 1, 3, 2]);
  assert.deepEqual(summary, { count: 4, mean: 2.5, median: 2.5, lowest: 1, highest: 4 });
  assert.ok(Math.abs(halfWidth - 1.96 * Math.sqrt(5 / 3 / 4)) < 1e-12);
});

test('one value has no deviation', () => {
  assert.ok(Number.isNaN(deviation([3])));
  assert.ok(Number.isNaN(summarize([3]).halfWidth));
});
