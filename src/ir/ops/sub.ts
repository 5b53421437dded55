import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { affine } from './affine.ts';
import { type BinaryOp, defineBinary, unbroadcast } from './binary.ts';

/** a - b, elementwise; shapes broadcast, aligned at the last axis. */
export const subOp: BinaryOp = defineBinary(
  'sub',
  (a, b) => a - b,
  (b, inputs, _outputs, [gradient]) => ({
    a: unbroadcast(b, gradient, inputs.a.shape),
    b: unbroadcast(b, affine(b, gradient, { scale: -1 }), inputs.b.shape),
  }),
);

export function sub(b: GraphBuilder, first: Value, second: Value): Value {
  return b.apply('sub', { a: first, b: second }, {})[0];
}
