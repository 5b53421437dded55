import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { swishDerivative } from './swish.ts';
import { defineUnary, type UnaryOp } from './unary.ts';

/** The sigmoid approximation of GELU that CLIP was trained with: x · sigmoid(1.702 x). */
export const quickGeluOp: UnaryOp = defineUnary(
  'quickGelu',
  (x) => x / (1 + Math.exp(-1.702 * x)),
  (b, x) => swishDerivative(b, x, 1.702),
);

export function quickGelu(b: GraphBuilder, x: Value): Value {
  return b.apply('quickGelu', { x }, {})[0];
}
