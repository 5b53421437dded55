import type { QuantizationParams } from '../../core/quantization-params.ts';
import type { QuantizationSpec } from '../config.ts';

/** Real numbers that u8 codes are to cover. */
export interface ClippingRange {
  readonly min: number;
  readonly max: number;
}

/** What a range of nothing but zeros gets: any scale does, this one has a finite inverse. */
const SMALLEST_SCALE = 2 ** -100;

/**
 * The codes that cover a range, which is widened to hold 0: padding must be represented exactly. The
 * scale is a float32, as the kernels compute with it. Symmetric: 0 is code 128.
 */
export function paramsOfRange(
  { min, max }: ClippingRange,
  scheme: QuantizationSpec['scheme'],
): QuantizationParams {
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
export function rangeOfParams({ scale, zeroPoint }: QuantizationParams): ClippingRange {
  return { min: -zeroPoint * scale, max: (255 - zeroPoint) * scale };
}
