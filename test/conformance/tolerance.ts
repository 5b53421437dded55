import type { DType } from '../../src/core/dtype.ts';

/** Half a unit in the last place of 1: 24 and 8 bits of significand. */
export const EPS32 = 2 ** -24;
export const EPS_BF16 = 2 ** -8;

/** What storing `value` as `dtype` may change. */
export function rounding(dtype: DType, value: number): number {
  return Math.abs(value) * (dtype === 'bf16' ? EPS_BF16 : EPS32);
}

/** The largest slope of SiLU and of the GELUs: 1.1, 1.13. */
export const STEEPEST = 1.13;

/** Where the error is largest against what is allowed. */
export interface Worst {
  readonly index: number;
  readonly got: number;
  readonly expected: number;
  readonly allowed: number;
}

/** Compares sampled numbers and returns the worst one when it is out of bounds. */
export function findViolation(
  got: ArrayLike<number>,
  expected: ArrayLike<number>,
  allowed: ArrayLike<number>,
): Worst | undefined {
  let worst: Worst | undefined;
  let worstRatio = 1;
  for (let i = 0; i < expected.length; i++) {
    const ratio = Math.abs(got[i] - expected[i]) / allowed[i];
    const violates = got[i] === expected[i] ? false : !(ratio <= worstRatio);
    if (violates) {
      worst = { index: i, got: got[i], expected: expected[i], allowed: allowed[i] };
      worstRatio = Number.isNaN(ratio) ? Number.POSITIVE_INFINITY : ratio;
    }
  }
  return worst;
}
