import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { type NoAttributes, noFlops, type OpDefinition } from '../op.ts';
import { mul } from './mul.ts';
import { requireFloating } from './rules.ts';

export type UnaryInputs = { readonly x: Value };
export type UnaryOp = OpDefinition<UnaryInputs, NoAttributes>;

/**
 * An elementwise op of one operand: same type out as in. `derivative` adds the nodes of dy/dx, given
 * x and y; the chain rule's product is added here.
 */
export function defineUnary(
  name: string,
  compute: (x: number) => number,
  derivative: (b: GraphBuilder, x: Value, y: Value) => Value,
): UnaryOp {
  return {
    name,
    operands: { x: 'required' },
    infer({ x }) {
      requireFloating('x', x);
      return [{ dtype: x.dtype, shape: x.shape }];
    },
    evaluate: ({ x }) => [x.data.map(compute)],
    flops: noFlops,
    vjp: (b, { x }, [y], [gradient]) => ({ x: mul(b, gradient, derivative(b, x, y)) }),
  };
}
