import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { defineUnary, type UnaryOp } from './unary.ts';

/** e to the power of x. */
export const expOp: UnaryOp = defineUnary('exp', Math.exp, (_b, _x, y) => y);

export function exp(b: GraphBuilder, x: Value): Value {
  return b.apply('exp', { x }, {})[0];
}
