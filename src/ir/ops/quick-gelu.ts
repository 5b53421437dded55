import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import * as scalar from '../scalar-functions.ts';
import { swishDerivative } from './swish.ts';
import { defineUnary, type UnaryOp } from './unary.ts';

/** The sigmoid approximation of GELU that CLIP was trained with: x · sigmoid(1.702 x). */
export const quickGeluOp: UnaryOp = defineUnary('quickGelu', scalar.quickGelu, (b, x) =>
  swishDerivative(b, x, 1.702),
);

export function quickGelu(b: GraphBuilder, x: Value): Value {
  return b.apply('quickGelu', { x }, {})[0];
}
