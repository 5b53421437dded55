import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import * as scalar from '../scalar-functions.ts';
import { affine } from './affine.ts';
import { mul } from './mul.ts';
import { defineUnary, type UnaryOp } from './unary.ts';

/** 1 / (1 + exp(-x)). */
export const sigmoidOp: UnaryOp = defineUnary('sigmoid', scalar.sigmoid, (b, _x, y) =>
  mul(b, y, affine(b, y, { scale: -1, offset: 1 })),
);

export function sigmoid(b: GraphBuilder, x: Value): Value {
  return b.apply('sigmoid', { x }, {})[0];
}
