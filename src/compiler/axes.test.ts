import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BookendError } from '../core/errors.ts';
import { collapseAxes } from './axes.ts';

test('dense arrays collapse to one axis', () => {
  const strides = [12, 4, 1];
  assert.deepEqual(collapseAxes({ extent: [2, 3, 4], strides: [strides, strides] }, 2, 'test'), {
    extent: [1, 24],
    strides: [
      [0, 1],
      [0, 1],
    ],
  });
});

test('an axis that only one array repeats stays apart', () => {
  const loops = {
    extent: [2, 3, 4],
    strides: [
      [12, 4, 1],
      [0, 4, 1],
    ],
  };
  assert.deepEqual(collapseAxes(loops, 2, 'test'), {
    extent: [2, 12],
    strides: [
      [12, 1],
      [0, 1],
    ],
  });
});

test('axes of extent 1 vanish, whatever their strides', () => {
  const loops = { extent: [5, 1, 1], strides: [[1, 77, 99]] };
  assert.deepEqual(collapseAxes(loops, 2, 'test'), { extent: [1, 5], strides: [[0, 1]] });
});

test('too many separate axes are an error', () => {
  const loops = { extent: [2, 2, 2], strides: [[1, 2, 4]] };
  assert.throws(
    () => collapseAxes(loops, 2, 'permute'),
    (error) => error instanceof BookendError && error.code === 'unsupported',
  );
});
