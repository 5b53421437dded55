import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { add } from './add.ts';
import { affine } from './affine.ts';
import { mul } from './mul.ts';
import { tanh } from './tanh.ts';
import { defineUnary, type UnaryOp } from './unary.ts';

const SCALE = Math.sqrt(2 / Math.PI);
const CUBIC = 0.044715;

/** The tanh approximation of GELU (arXiv 1606.08415, section 2). */
export const geluTanhOp: UnaryOp = defineUnary(
  'geluTanh',
  (x) => 0.5 * x * (1 + Math.tanh(SCALE * (x + CUBIC * x ** 3))),
  derivative,
);

export function geluTanh(b: GraphBuilder, x: Value): Value {
  return b.apply('geluTanh', { x }, {})[0];
}

/** With u = s (x + c x³): 0.5 (1 + tanh u) + 0.5 x (1 - tanh² u) s (1 + 3 c x²). */
function derivative(b: GraphBuilder, x: Value): Value {
  const square = mul(b, x, x);
  const u = mul(b, x, affine(b, square, { scale: SCALE * CUBIC, offset: SCALE }));
  const t = tanh(b, u);
  const slope = affine(b, mul(b, t, t), { scale: -0.5, offset: 0.5 });
  const inner = affine(b, square, { scale: 3 * SCALE * CUBIC, offset: SCALE });
  return add(b, affine(b, t, { scale: 0.5, offset: 0.5 }), mul(b, mul(b, x, slope), inner));
}
