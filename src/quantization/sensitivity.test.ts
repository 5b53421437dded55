import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Precision } from './precision-schedule.ts';
import {
  combinedError,
  coveredTimesteps,
  errorOfPsnr,
  fitExponent,
  type PrecisionSensitivity,
  precisionSensitivitySchema,
  predictPsnr,
  psnrOfError,
  stepErrors,
} from './sensitivity.ts';

const SENSITIVITY: PrecisionSensitivity = {
  points: [
    { timestep: 900, amplitude: 2e-5 },
    { timestep: 500, amplitude: 1e-5 },
    { timestep: 100, amplitude: 3e-5 },
  ],
  exponent: 2,
  int8Psnr: 30,
  conditions: {
    scheduler: 'ddim',
    steps: 10,
    guidanceScale: 7.5,
    width: 64,
    height: 64,
    prompts: 2,
  },
};

function near(actual: number, expected: number): void {
  assert.ok(Math.abs(actual - expected) <= 1e-9 * Math.abs(expected), `${actual} ≠ ${expected}`);
}

test('an evaluation covers the timesteps to the next; repeated ones share them', () => {
  assert.deepEqual(coveredTimesteps([900, 600, 100]), [300, 500, 500]);
  assert.deepEqual(coveredTimesteps([800, 400, 400, 200]), [400, 100, 100, 200]);
  assert.deepEqual(coveredTimesteps([0]), [1]);
});

test('errors are read between the points and held beyond them', () => {
  const errors = stepErrors(SENSITIVITY, [1000, 700, 500, 300, 0]);
  near(errors[0], 300 * 2e-5);
  near(errors[1], 200 * 1.5e-5);
  near(errors[2], 200 * 1e-5);
  near(errors[3], 300 * 2e-5);
  near(errors[4], 300 * 3e-5);
});

test('errors add up between all alike and independent', () => {
  near(combinedError([3, 4], 1), 7);
  near(combinedError([3, 4], 2), 5);
  near(psnrOfError(0.01), 40);
  near(errorOfPsnr(40), 0.01);
});

test('only steps in INT8 cost quality', () => {
  const timesteps = [500, 400, 300];
  const psnr = (...schedule: Precision[]) => predictPsnr(SENSITIVITY, { timesteps, schedule });
  assert.equal(psnr('bf16', 'fp32', 'bf16'), Number.POSITIVE_INFINITY);
  near(psnr('int8', 'bf16', 'bf16'), psnrOfError(100 * 1e-5));
  assert.ok(psnr('int8', 'int8', 'bf16') < psnr('int8', 'bf16', 'bf16'));
});

test('the exponent is the one that explains the total, within 1 to 2', () => {
  const errors = [0.1, 0.2, 0.05, 0.3];
  near(fitExponent(errors, combinedError(errors, 1.37)), 1.37);
  near(fitExponent(errors, 10), 1);
  near(fitExponent(errors, 0.01), 2);
});

test('the stored form is checked', () => {
  assert.deepEqual(precisionSensitivitySchema.parse(SENSITIVITY), SENSITIVITY);
  const points = [...SENSITIVITY.points].reverse();
  for (const damage of [{ points: [] }, { points }, { exponent: 3 }, { int8Psnr: Number.NaN }]) {
    assert.equal(
      precisionSensitivitySchema.safeParse({ ...SENSITIVITY, ...damage }).success,
      false,
    );
  }
});
