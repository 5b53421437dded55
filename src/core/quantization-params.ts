import { roundHalfEven } from './dtype.ts';
import { BookendError } from './errors.ts';

/** How u8 codes stand for real numbers: code q is (q − zeroPoint) · scale. */
export interface QuantizationParams {
  /** Positive. */
  readonly scale: number;
  /** The code of 0: a whole number from 0 to 255. */
  readonly zeroPoint: number;
}

export const LARGEST_CODE = 255;

/** @throws BookendError `invalid-argument` unless `params` are in their ranges */
export function checkQuantizationParams({ scale, zeroPoint }: QuantizationParams): void {
  if (!(Number.isFinite(scale) && scale > 0 && Number.isFinite(1 / scale))) {
    throw new BookendError(
      'invalid-argument',
      `The scale of a quantized tensor is ${scale}; it must be a positive number with a finite inverse.`,
    );
  }
  if (!Number.isInteger(zeroPoint) || zeroPoint < 0 || zeroPoint > LARGEST_CODE) {
    throw new BookendError(
      'invalid-argument',
      `The zero point of a quantized tensor is ${zeroPoint}; it must be a whole number from 0 to ${LARGEST_CODE}.`,
    );
  }
}

export function sameQuantization(
  a: QuantizationParams | undefined,
  b: QuantizationParams | undefined,
): boolean {
  return a?.scale === b?.scale && a?.zeroPoint === b?.zeroPoint;
}

/** The code nearest to `x`, ties to even; numbers out of range get the first or last code. */
export function quantizeToCode(x: number, { scale, zeroPoint }: QuantizationParams): number {
  const code = Math.abs(x) === Number.POSITIVE_INFINITY ? x : roundToEven(x / scale + zeroPoint);
  return Math.min(Math.max(code, 0), LARGEST_CODE);
}

/** The real number that code `q` stands for. */
export function dequantizeCode(q: number, { scale, zeroPoint }: QuantizationParams): number {
  return (q - zeroPoint) * scale;
}

/** To the nearest whole number, ties to the even one. */
export function roundToEven(x: number): number {
  return x < 0 ? -roundHalfEven(-x) : roundHalfEven(x);
}
