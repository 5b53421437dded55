import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { type BinaryOp, defineBinary, unbroadcast } from './binary.ts';

/** a + b, elementwise; shapes broadcast, aligned at the last axis. */
export const addOp: BinaryOp = defineBinary(
  'add',
  (a, b) => a + b,
  (b, inputs, _outputs, [gradient]) => ({
    a: unbroadcast(b, gradient, inputs.a.shape),
    b: unbroadcast(b, gradient, inputs.b.shape),
  }),
);

export function add(b: GraphBuilder, first: Value, second: Value): Value {
  return b.apply('add', { a: first, b: second }, {})[0];
}
