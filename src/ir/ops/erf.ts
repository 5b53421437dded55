import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import * as scalar from '../scalar-functions.ts';
import { affine } from './affine.ts';
import { exp } from './exp.ts';
import { mul } from './mul.ts';
import { defineUnary, type UnaryOp } from './unary.ts';

/** The error function; the gradient of GELU needs it. */
export const erfOp: UnaryOp = defineUnary('erf', scalar.erf, (b, x) =>
  affine(b, exp(b, affine(b, mul(b, x, x), { scale: -1 })), { scale: 2 / Math.sqrt(Math.PI) }),
);

export function erf(b: GraphBuilder, x: Value): Value {
  return b.apply('erf', { x }, {})[0];
}
