import type { QuantizationSpec } from '../config.ts';

/** Codes 0 … 255 stand for (code − zeroPoint) · scale. */
export interface CodeGrid {
  /** Positive and finite. */
  readonly scale: number;
  /** A whole number from 0 to 255: real 0, and with it padding, is represented exactly. */
  readonly zeroPoint: number;
}

export interface ClippingRange {
  readonly min: number;
  readonly max: number;
}

/** Below this a f32 scale would have no exact reciprocal that is finite. */
const SMALLEST_SCALE = 2 ** -100;

/**
 * The codes that cover a range, which is widened to hold 0. The scale is a float32, as the kernels
 * compute with it.
 */
export function gridOfRange(
  { min, max }: ClippingRange,
  scheme: QuantizationSpec['scheme'],
): CodeGrid {
  const low = Math.min(min, 0);
  const high = Math.max(max, 0);
  if (scheme === 'symmetric') {
    const reach = Math.max(high / 127, -low / 128);
    return { scale: Math.fround(Math.max(reach, SMALLEST_SCALE)), zeroPoint: 128 };
  }
  const scale = Math.fround(Math.max((high - low) / 255, SMALLEST_SCALE));
  return { scale, zeroPoint: Math.min(255, Math.max(0, Math.round(-low / scale))) };
}

/** The real numbers of the smallest and the largest code. */
export function rangeOfGrid({ scale, zeroPoint }: CodeGrid): ClippingRange {
  return { min: -zeroPoint * scale, max: (255 - zeroPoint) * scale };
}

/** The real number that `value` becomes: ties to even, clamped. */
export function roundToGrid(value: number, { scale, zeroPoint }: CodeGrid): number {
  const code = Math.min(255, Math.max(0, roundHalfEven(value / scale) + zeroPoint));
  return (code - zeroPoint) * scale;
}

export function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}
