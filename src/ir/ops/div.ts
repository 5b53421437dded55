import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { affine } from './affine.ts';
import { type BinaryOp, defineBinary, unbroadcast } from './binary.ts';
import { mul } from './mul.ts';

/** a / b, elementwise; shapes broadcast, aligned at the last axis. */
export const divOp: BinaryOp = defineBinary(
  'div',
  (a, b) => a / b,
  (b, inputs, [y], [gradient]) => {
    const quotient = div(b, gradient, inputs.b);
    return {
      a: unbroadcast(b, quotient, inputs.a.shape),
      b: unbroadcast(b, affine(b, mul(b, quotient, y), { scale: -1 }), inputs.b.shape),
    };
  },
);

export function div(b: GraphBuilder, first: Value, second: Value): Value {
  return b.apply('div', { a: first, b: second }, {})[0];
}
