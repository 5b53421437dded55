import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type AutoSchedule,
  formatSchedule,
  type PrecisionSchedule,
  parseSchedule,
  resolveSchedule,
} from './precision-schedule.ts';

/** `n` falling noise levels. */
const levels = (n: number) => Array.from({ length: n }, (_, i) => n - i);

function resolved(text: string, sigmas: readonly number[]): string {
  const schedule = parseSchedule(text) as Exclude<PrecisionSchedule, AutoSchedule>;
  return formatSchedule(resolveSchedule(schedule, sigmas));
}

function mixed(highPrecisionSteps: number, evaluations: number): string {
  const schedule = { kind: 'mixed', high: 'bf16', highPrecisionSteps } as const;
  return formatSchedule(resolveSchedule(schedule, levels(evaluations)));
}

test('mixed is high where i < k or i ≥ n − k', () => {
  assert.equal(mixed(5, 50), 'bf16x5,int8x40,bf16x5');
  assert.equal(mixed(1, 3), 'bf16x1,int8x1,bf16x1');
  assert.equal(mixed(0, 3), 'int8');
  assert.equal(mixed(2, 4), 'bf16');
  assert.equal(mixed(2, 3), 'bf16');
  assert.equal(mixed(5, 1), 'bf16');
  assert.equal(mixed(2, 5), 'bf16x2,int8x1,bf16x2');
});

test('one precision throughout', () => {
  const schedule = { kind: 'uniform', precision: 'fp32' } as const;
  assert.deepEqual(resolveSchedule(schedule, levels(3)), ['fp32', 'fp32', 'fp32']);
});

test('lists count evaluations, and * is what is left over', () => {
  assert.equal(resolved('bf16x5,int8x40,bf16x5', levels(50)), 'bf16x5,int8x40,bf16x5');
  assert.equal(resolved('bf16, int8x*, fp32x2', levels(6)), 'bf16x1,int8x3,fp32x2');
  assert.equal(resolved('bf16x3,int8x*', levels(3)), 'bf16');
  for (const text of ['bf16x2', 'bf16x2,int8x2', 'bf16x4,int8x*']) {
    assert.throws(() => resolved(text, levels(3)), {
      code: 'invalid-argument',
      message: /3 times/,
    });
  }
});

test('noise levels choose by half-open ranges, the first that fits', () => {
  assert.equal(resolved('int8@2..4,bf16', levels(5)), 'bf16x2,int8x2,bf16x1');
  assert.equal(resolved('fp32@..2,int8@..4,bf16', levels(5)), 'bf16x2,int8x2,fp32x1');
  assert.equal(resolved('int8@3.5..,fp32', levels(5)), 'int8x2,fp32x3');
  assert.equal(resolved('int8@1e-1..1e1,fp32', levels(5)), 'int8');
  assert.equal(resolved('int8@1..,fp32', [Number.POSITIVE_INFINITY, 1]), 'fp32x1,int8x1');
});

test('what cannot be read is refused in a sentence that shows both forms', () => {
  const texts = ['', 'int4', 'bf16x0', 'bf16x-1', 'bf16x1.5', 'bf16,', 'bf16x*,int8x*'];
  const sigmas = ['int8@1..2', 'int8@2..1,bf16', 'int8@a..b,bf16', 'int8@1,bf16', 'int8@..-1,bf16'];
  for (const text of [...texts, ...sigmas, 'bf16x99999999']) {
    assert.throws(() => parseSchedule(text), {
      code: 'invalid-argument',
      message: /^[^\n]+ int8@[^\n]+\.$/,
    });
  }
});
