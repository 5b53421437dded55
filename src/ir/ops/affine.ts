import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { noFlops, type OpDefinition } from '../op.ts';
import { requireFloating } from './rules.ts';

type Inputs = { readonly x: Value };
export type AffineAttributes = { readonly scale: number; readonly offset: number };

/** scale · x + offset, with both known when the graph is built. */
export const affineOp: OpDefinition<Inputs, AffineAttributes> = {
  name: 'affine',
  operands: { x: 'required' },
  infer({ x }) {
    requireFloating('x', x);
    return [{ dtype: x.dtype, shape: x.shape }];
  },
  evaluate: ({ x }, { scale, offset }) => [x.data.map((value) => scale * value + offset)],
  flops: noFlops,
  vjp: (b, _inputs, _outputs, [gradient], { scale }) => ({ x: affine(b, gradient, { scale }) }),
};

export function affine(
  b: GraphBuilder,
  x: Value,
  { scale = 1, offset = 0 }: Partial<AffineAttributes>,
): Value {
  return b.apply('affine', { x }, { scale, offset })[0];
}
