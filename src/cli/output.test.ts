import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BookendError } from '../core/errors.ts';
import { describeError, exitStatus, formatTable } from './output.ts';

test('exit statuses tell usage, interruption and failure apart', () => {
  assert.equal(exitStatus(new BookendError('invalid-argument', 'x')), 2);
  assert.equal(exitStatus(new BookendError('aborted', 'x')), 130);
  assert.equal(exitStatus(new BookendError('io', 'x')), 1);
  assert.equal(exitStatus(new Error('x')), 1);
});

test('a known error is its sentence, a defect shows its stack', () => {
  assert.equal(describeError(new BookendError('io', 'The disk is full.')), 'The disk is full.');
  assert.match(describeError(new TypeError('oops')), /please report[\s\S]*TypeError: oops/);
});

test('table columns line up', () => {
  const table = formatTable(
    ['op', 'ms'],
    [
      ['conv2d', '1.5'],
      ['add', '10.25'],
    ],
    [false, true],
  );
  assert.equal(table, 'op         ms\n──────  ─────\nconv2d    1.5\nadd     10.25');
});
