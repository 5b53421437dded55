import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { type BinaryOp, defineBinary, unbroadcast } from './binary.ts';

/** a · b, elementwise; shapes broadcast, aligned at the last axis. */
export const mulOp: BinaryOp = defineBinary(
  'mul',
  (a, b) => a * b,
  (b, inputs, _outputs, [gradient]) => ({
    a: unbroadcast(b, mul(b, gradient, inputs.b), inputs.a.shape),
    b: unbroadcast(b, mul(b, gradient, inputs.a), inputs.b.shape),
  }),
);

export function mul(b: GraphBuilder, first: Value, second: Value): Value {
  return b.apply('mul', { a: first, b: second }, {})[0];
}
