import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import * as scalar from '../scalar-functions.ts';
import { add } from './add.ts';
import { affine } from './affine.ts';
import { div } from './div.ts';
import { defineUnary, type UnaryOp } from './unary.ts';

/** The smallest normal number, far under what it is added to wherever that is not zero. */
const TINY = 2 ** -126;

/** Rectified linear unit: max(0, x); NaN stays NaN. */
export const reluOp: UnaryOp = defineUnary('relu', scalar.relu, stepAt);

/** d/dx of max(0, x): 1 above zero, 0 elsewhere, as max(0, x) ÷ (|x| + a tiny number). */
function stepAt(b: GraphBuilder, x: Value, y: Value): Value {
  const magnitude = add(b, y, relu(b, affine(b, x, { scale: -1 })));
  return div(b, y, affine(b, magnitude, { offset: TINY }));
}

export function relu(b: GraphBuilder, x: Value): Value {
  return b.apply('relu', { x }, {})[0];
}
