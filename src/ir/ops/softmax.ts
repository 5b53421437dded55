import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { type NoAttributes, noFlops, type OpDefinition } from '../op.ts';
import { mul } from './mul.ts';
import { requireFloating, requireMinimumRank } from './rules.ts';
import { sub } from './sub.ts';
import { sum } from './sum.ts';

type Inputs = { readonly x: Value };

/** exp(x - max) over its sum, along the last axis. */
export const softmaxOp: OpDefinition<Inputs, NoAttributes> = {
  name: 'softmax',
  operands: { x: 'required' },
  infer({ x }) {
    requireFloating('x', x);
    requireMinimumRank('x', x, 1);
    return [{ dtype: x.dtype, shape: x.shape }];
  },
  evaluate({ x }) {
    const out = x.data.slice();
    const length = x.shape[x.shape.length - 1];
    for (let at = 0; at < out.length; at += length) softmaxRow(out.subarray(at, at + length));
    return [out];
  },
  flops: noFlops,
  vjp(b, _inputs, [y], [gradient]) {
    const mean = sum(b, mul(b, gradient, y), { axes: [-1], keep: true });
    return { x: mul(b, y, sub(b, gradient, mean)) };
  },
};

/** Softmax in place; -Infinity entries become 0. */
export function softmaxRow(row: Float64Array): void {
  let maximum = Number.NEGATIVE_INFINITY;
  for (const value of row) maximum = Math.max(maximum, value);
  let total = 0;
  for (let i = 0; i < row.length; i++) {
    row[i] = Math.exp(row[i] - maximum);
    total += row[i];
  }
  for (let i = 0; i < row.length; i++) row[i] /= total;
}

export function softmax(b: GraphBuilder, x: Value): Value {
  return b.apply('softmax', { x }, {})[0];
}
