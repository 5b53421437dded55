import {
  checkQuantizationParams,
  type QuantizationParams,
} from '../../core/quantization-params.ts';
import type { TensorType } from '../graph.ts';
import { reject } from '../op.ts';

/** Attribute of ops that can store their result as u8. */
export type QuantizeAttribute = {
  /** [scale, zeroPoint] of the u8 result; absent: the result is stored as a floating type. */
  readonly quantize?: readonly number[];
};

/** The attribute for `params`. */
export function quantizeAttribute({ scale, zeroPoint }: QuantizationParams): readonly number[] {
  return [scale, zeroPoint];
}

/** How a result of floating type `type` is stored. */
export function storedType(type: TensorType, { quantize }: QuantizeAttribute): TensorType {
  if (!quantize) return type;
  if (quantize.length !== 2) {
    reject(`Attribute quantize has ${quantize.length} numbers; it must be [scale, zero point].`);
  }
  const [scale, zeroPoint] = quantize;
  const quantization = { scale, zeroPoint };
  checkQuantizationParams(quantization);
  return { dtype: 'u8', shape: type.shape, quantization };
}
