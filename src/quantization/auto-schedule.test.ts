import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AutoRequest, chooseSchedule } from './auto-schedule.ts';
import { formatSchedule } from './precision-schedule.ts';
import { type PrecisionSensitivity, predictPsnr } from './sensitivity.ts';

const SENSITIVITY: PrecisionSensitivity = {
  points: [
    { angle: 1.2, amplitude: 0.04 },
    { angle: 0.9, amplitude: 0.01 },
    { angle: 0.6, amplitude: 0.02 },
    { angle: 0.3, amplitude: 0.08 },
  ],
  exponent: 1.5,
  floor: 0,
  int8Psnr: 30,
  conditions: { scheduler: 'ddim', steps: 4, guidanceScale: 3, width: 8, height: 8, prompts: 1 },
};
const REQUEST: AutoRequest = {
  sensitivity: SENSITIVITY,
  sigmas: [1.2, 0.9, 0.6, 0.3].map(Math.tan),
  high: 'bf16',
  seconds: { high: 2, int8: 1 },
};
const choose = (budget: Partial<AutoRequest>) => chooseSchedule({ ...REQUEST, ...budget });

test('under a limit of time the least sensitive steps go first, and no more than must', () => {
  const schedules = [8, 7, 6, 5, 4].map((maxSeconds) =>
    formatSchedule(choose({ maxSeconds }).schedule),
  );
  assert.deepEqual(schedules, [
    'bf16',
    'bf16x1,int8x1,bf16x2',
    'bf16x1,int8x2,bf16x1',
    'int8x3,bf16x1',
    'int8',
  ]);
  assert.equal(choose({ maxSeconds: 6.9 }).seconds, 6);
});

test('under a limit of quality the fastest schedule that keeps it', () => {
  const free = choose({ minPsnr: 0 });
  assert.equal(formatSchedule(free.schedule), 'int8');
  assert.equal(free.seconds, 4);
  const { psnr, schedule } = choose({ maxSeconds: 6 });
  assert.equal(psnr, predictPsnr(SENSITIVITY, { sigmas: REQUEST.sigmas, schedule }));
  assert.deepEqual(choose({ minPsnr: psnr }).schedule, schedule);
  assert.equal(choose({ minPsnr: psnr + 0.01 }).seconds, 7);
  const exact = choose({ minPsnr: 1000 });
  assert.equal(formatSchedule(exact.schedule), 'bf16');
  assert.equal(exact.psnr, Number.POSITIVE_INFINITY);
});

test('INT8 that saves no time is not chosen', () => {
  const slow = { seconds: { high: 1, int8: 1.5 } };
  assert.equal(formatSchedule(choose({ ...slow, minPsnr: 0 }).schedule), 'bf16');
  assert.throws(() => choose({ ...slow, maxSeconds: 3.9 }), /about 4\.0 s at the fastest/);
});

test('what cannot be reached is refused, with what can', () => {
  assert.throws(() => choose({ maxSeconds: 3.5 }), {
    code: 'invalid-argument',
    message: /to take 3\.5 s and take about 4\.0 s at the fastest/,
  });
  assert.throws(() => choose({ maxSeconds: 4, minPsnr: 90 }), {
    code: 'invalid-argument',
    message: /^Within 4 s .* [\d.]+ dB where 90 dB were asked for/,
  });
  assert.equal(choose({ maxSeconds: 8, minPsnr: 90 }).seconds, 8);
});
