import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Precision } from './precision-schedule.ts';
import {
  combinedError,
  coveredAngles,
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
    { angle: 1.4, amplitude: 0.02 },
    { angle: 0.8, amplitude: 0.01 },
    { angle: 0.2, amplitude: 0.03 },
  ],
  exponent: 2,
  floor: 0,
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
/** The noise levels of samples at these angles. */
const at = (...angles: number[]) => angles.map(Math.tan);

function near(actual: number, expected: number): void {
  assert.ok(Math.abs(actual - expected) <= 1e-9 * Math.abs(expected), `${actual} ≠ ${expected}`);
}

function allNear(actual: readonly number[], expected: readonly number[]): void {
  assert.equal(actual.length, expected.length);
  for (const [i, value] of actual.entries()) near(value, expected[i]);
}

test('an evaluation covers the angle to the next; repeated ones share it', () => {
  allNear(coveredAngles(at(1.5, 1, 0.2)), [0.5, 0.8, 0.2]);
  allNear(coveredAngles(at(0.8, 0.4, 0.4, 0.2)), [0.4, 0.1, 0.1, 0.2]);
  allNear(coveredAngles([Number.POSITIVE_INFINITY, 1]), [Math.PI / 4, Math.PI / 4]);
});

test('errors are read between the points and held beyond them', () => {
  const errors = stepErrors(SENSITIVITY, at(1.5, 1.1, 0.8, 0.5, 0.1));
  allNear(errors, [0.4 * 0.02, 0.3 * 0.015, 0.3 * 0.01, 0.4 * 0.02, 0.1 * 0.03]);
});

test('errors add up between all alike and independent', () => {
  near(combinedError([3, 4], 1), 7);
  near(combinedError([3, 4], 2), 5);
  near(psnrOfError(0.01), 40);
  near(errorOfPsnr(40), 0.01);
});

test('only steps in INT8 cost quality', () => {
  const sigmas = at(0.8, 0.5, 0.3);
  const psnr = (...schedule: Precision[]) => predictPsnr(SENSITIVITY, { sigmas, schedule });
  assert.equal(psnr('bf16', 'fp32', 'bf16'), Number.POSITIVE_INFINITY);
  near(psnr('int8', 'bf16', 'bf16'), psnrOfError(0.3 * 0.01));
  assert.ok(psnr('int8', 'int8', 'bf16') < psnr('int8', 'bf16', 'bf16'));
});

test('high precision has a floor of its own, once anything departs from it', () => {
  const floored = { ...SENSITIVITY, floor: 4e-3 };
  const sigmas = [...at(0.8, 0.5), ...Array(38).fill(0)];
  const psnr = (first: Precision) => {
    const schedule = sigmas.map((_, i): Precision => (i === 0 ? first : 'bf16'));
    return predictPsnr(floored, { sigmas, schedule });
  };
  assert.equal(psnr('bf16'), Number.POSITIVE_INFINITY);
  // Four times the steps that it was measured in halve it.
  near(psnr('int8'), psnrOfError(Math.hypot(2e-3, 0.3 * 0.01)));
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
