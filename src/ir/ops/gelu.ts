import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import * as scalar from '../scalar-functions.ts';
import { add } from './add.ts';
import { affine } from './affine.ts';
import { erf } from './erf.ts';
import { exp } from './exp.ts';
import { mul } from './mul.ts';
import { defineUnary, type UnaryOp } from './unary.ts';

/** Gaussian error linear unit: x · Φ(x), with Φ the normal distribution (arXiv 1606.08415). */
export const geluOp: UnaryOp = defineUnary('gelu', scalar.gelu, geluDerivative);

export function gelu(b: GraphBuilder, x: Value): Value {
  return b.apply('gelu', { x }, {})[0];
}

/** Φ(x) + x φ(x). */
export function geluDerivative(b: GraphBuilder, x: Value): Value {
  const half = affine(b, erf(b, affine(b, x, { scale: Math.SQRT1_2 })), {
    scale: 0.5,
    offset: 0.5,
  });
  const gaussian = exp(b, affine(b, mul(b, x, x), { scale: -0.5 }));
  const density = affine(b, gaussian, { scale: 1 / Math.sqrt(2 * Math.PI) });
  return add(b, half, mul(b, x, density));
}
