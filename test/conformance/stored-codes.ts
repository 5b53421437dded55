import type { QuantizationParams } from '../../src/core/quantization-params.ts';
import type { Expectation } from './problem.ts';
import { EPS32 } from './tolerance.ts';

/** Roundings of a store to u8 beside the last: of the inverse scale, and the multiply-add. */
const STORE_ROUNDINGS = 3;

/**
 * What a u8 store of numbers that are known to `allowed` may hold: a code is right when it is the
 * rounding of some number that would have been.
 */
export function asCodes(
  { positions, expected, allowed }: Expectation,
  { scale, zeroPoint }: QuantizationParams,
): Expectation {
  const exact = Array.from(expected, (value) => value / scale + zeroPoint);
  return {
    ...(positions && { positions }),
    expected: exact.map((code) => Math.min(Math.max(code, 0), 255)),
    allowed: exact.map((code, i) => {
      const own = STORE_ROUNDINGS * EPS32 * (Math.abs(code - zeroPoint) + zeroPoint);
      return 0.5 + allowed[i] / scale + own;
    }),
  };
}
