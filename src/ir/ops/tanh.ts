import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { affine } from './affine.ts';
import { mul } from './mul.ts';
import { defineUnary, type UnaryOp } from './unary.ts';

/** The hyperbolic tangent. */
export const tanhOp: UnaryOp = defineUnary('tanh', Math.tanh, (b, _x, y) =>
  affine(b, mul(b, y, y), { scale: -1, offset: 1 }),
);

export function tanh(b: GraphBuilder, x: Value): Value {
  return b.apply('tanh', { x }, {})[0];
}
