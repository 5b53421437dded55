import type { DType } from '../../core/dtype.ts';
import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { noFlops, type OpDefinition, reject } from '../op.ts';
import { isFloating } from './rules.ts';

type Inputs = { readonly x: Value };
export type CastAttributes = { readonly dtype: DType };

/**
 * The same numbers stored as another floating type. Exact arithmetic knows no storage, so the
 * reference evaluation copies; an interpreter that rounds does so on the output's dtype.
 */
export const castOp: OpDefinition<Inputs, CastAttributes> = {
  name: 'cast',
  operands: { x: 'required' },
  infer({ x }, { dtype }) {
    if (!isFloating(dtype)) reject(`The target is ${dtype}; cast only makes floating types.`);
    return [{ dtype, shape: x.shape }];
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
