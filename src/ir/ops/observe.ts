import { toBf16 } from '../../core/dtype.ts';
import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { type NoAttributes, noFlops, type OpDefinition } from '../op.ts';
import { requireFloating, requireMinimumRank } from './rules.ts';

type Inputs = {
  /** [..., C] */
  readonly x: Value;
};

/** Bins of the histogram: a bf16 pattern without its last two bits of mantissa. */
export const OBSERVE_BINS = 1 << 14;

/** What calibration learns about a tensor. */
export interface Observation {
  /** s32 [OBSERVE_BINS]: how many elements fell into each bin. */
  readonly histogram: Value;
  /** f32 [2]: smallest and largest element. */
  readonly range: Value;
  /** f32 [C]: the sum of each channel over all positions. */
  readonly sums: Value;
  /** f32 [C]: the sum of squares of each channel over all positions. */
  readonly squares: Value;
}

/**
 * Statistics for calibration. The histogram's bins are those of floating-point numbers themselves
 * (sign, exponent and 5 bits of mantissa, so 3% wide), which needs no range beforehand: one pass
 * over the data serves every observer.
 */
export const observeOp: OpDefinition<Inputs, NoAttributes> = {
  name: 'observe',
  operands: { x: 'required' },
  infer({ x }) {
    requireFloating('x', x);
    requireMinimumRank('x', x, 1);
    const channels = x.shape.slice(-1);
    return [
      { dtype: 's32', shape: [OBSERVE_BINS] },
      { dtype: 'f32', shape: [2] },
      { dtype: 'f32', shape: channels },
      { dtype: 'f32', shape: channels },
    ];
  },
  evaluate({ x }) {
    const channels = x.shape[x.shape.length - 1];
    const histogram = new Float64Array(OBSERVE_BINS);
    const range = Float64Array.of(Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY);
    const sums = new Float64Array(channels);
    const squares = new Float64Array(channels);
    for (const [i, value] of x.data.entries()) {
      histogram[toBf16(value) >>> 2]++;
      range[0] = Math.min(range[0], value);
      range[1] = Math.max(range[1], value);
      sums[i % channels] += value;
      squares[i % channels] += value * value;
    }
    return [histogram, range, sums, squares];
  },
  flops: noFlops,
  vjp: 'not-differentiable',
};

export function observe(b: GraphBuilder, x: Value): Observation {
  const [histogram, range, sums, squares] = b.apply('observe', { x }, {});
  return { histogram, range, sums, squares };
}
