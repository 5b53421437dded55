import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import * as scalar from '../scalar-functions.ts';
import { swishDerivative } from './swish.ts';
import { defineUnary, type UnaryOp } from './unary.ts';

/** Sigmoid-weighted linear unit: x · sigmoid(x) (Elfwing et al., arXiv 1702.03118). */
export const siluOp: UnaryOp = defineUnary('silu', scalar.silu, (b, x) => swishDerivative(b, x, 1));

export function silu(b: GraphBuilder, x: Value): Value {
  return b.apply('silu', { x }, {})[0];
}
