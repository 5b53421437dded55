import type { DType } from '../../core/dtype.ts';
import type { QuantizationParams } from '../../core/quantization-params.ts';
import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { noFlops, type OpDefinition, reject } from '../op.ts';
import { isFloating } from './rules.ts';
import { type QuantizeAttribute, quantizeAttribute, storedType } from './stored-type.ts';

type Inputs = { readonly x: Value };
export type CastAttributes = QuantizeAttribute & {
  /** A floating type, or u8 together with `quantize`. */
  readonly dtype: DType;
};

/**
 * The same numbers stored as another type: floating to floating, to u8 (quantize) or from u8
 * (dequantize). Exact arithmetic knows no storage, so the
 * reference evaluation copies; an interpreter that rounds does so on the output's dtype.
 */
export const castOp: OpDefinition<Inputs, CastAttributes> = {
  name: 'cast',
  operands: { x: 'required' },
  infer({ x }, attributes) {
    const { dtype, quantize } = attributes;
    if (!isFloating(dtype) && dtype !== 'u8') {
      reject(`The target is ${dtype}; cast makes floating types and u8.`);
    }
    if ((dtype === 'u8') !== (quantize !== undefined)) {
      reject(`The target is ${dtype}; u8, and nothing else, needs the attribute quantize.`);
    }
    return [storedType({ dtype, shape: x.shape }, attributes)];
  },
  evaluate: ({ x }) => [x.data.slice()],
  flops: noFlops,
  vjp: (b, { x }, _outputs, [gradient]) =>
    isFloating(x.dtype) ? { x: cast(b, gradient, x.dtype) } : {},
};

/** Casts; a value that already has the dtype is returned as it is. */
export function cast(b: GraphBuilder, x: Value, dtype: DType): Value {
  return x.dtype === dtype ? x : b.apply('cast', { x }, { dtype })[0];
}

/** Stores x as u8 codes. */
export function quantize(b: GraphBuilder, x: Value, params: QuantizationParams): Value {
  return b.apply('cast', { x }, { dtype: 'u8', quantize: quantizeAttribute(params) })[0];
}
