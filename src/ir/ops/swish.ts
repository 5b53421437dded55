import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { affine } from './affine.ts';
import { mul } from './mul.ts';
import { sigmoid } from './sigmoid.ts';

/** d/dx of x · sigmoid(βx): s · (1 + βx · (1 - s)), with s = sigmoid(βx). */
export function swishDerivative(b: GraphBuilder, x: Value, beta: number): Value {
  const scaled = beta === 1 ? x : affine(b, x, { scale: beta });
  const s = sigmoid(b, scaled);
  const rest = mul(b, scaled, affine(b, s, { scale: -1, offset: 1 }));
  return mul(b, s, affine(b, rest, { offset: 1 }));
}
