import { fromBf16, toBf16 } from '../../core/dtype.ts';
import { OBSERVE_BINS } from '../../ir/ops/observe.ts';

/*
 * The histogram that the `observe` op counts: a number falls into the bin of the top 14 bits of its
 * bf16 pattern (sign, exponent, 5 of 7 mantissa bits), so that bins are 1/32 of a power of two wide
 * whatever the range of the numbers, and need not be known ahead.
 */

const SIGN = OBSERVE_BINS / 2;

/** Bins of one sign that hold finite numbers; those above hold infinity and NaN. */
const FINITE = 0x7f80 >> 2;

/** The bin of `value`, as the native kernel and the reference count it. */
export function binOf(value: number): number {
  return toBf16(value) >> 2;
}

/** Whether a bin counts infinities and NaN. */
export function isNonFiniteBin(bin: number): boolean {
  return (bin & (SIGN - 1)) >= FINITE;
}

/** A distribution as weights on intervals, in ascending order; empty bins are left out. */
export interface Distribution {
  readonly low: Float64Array;
  readonly high: Float64Array;
  /** How many numbers fell into each interval. */
  readonly weight: Float64Array;
  readonly total: number;
  /** Exact extremes. */
  readonly min: number;
  readonly max: number;
}

/** Where bin `index` of the positive ones begins: half way between two bf16 numbers. */
function lowerEdge(index: number): number {
  if (index === 0) return 0;
  const below = fromBf16(4 * index - 1);
  const above = index === FINITE ? 2 ** 128 : fromBf16(4 * index);
  return (below + above) / 2;
}

const EDGES = Float64Array.from({ length: FINITE + 1 }, (_, index) => lowerEdge(index));

/** The finite part of `counts`, its outermost intervals cut at the exact extremes. */
export function distributionOf(
  counts: ArrayLike<number>,
  { min, max }: { readonly min: number; readonly max: number },
): Distribution {
  const low: number[] = [];
  const high: number[] = [];
  const weight: number[] = [];
  let total = 0;
  const add = (from: number, to: number, count: number) => {
    if (count === 0) return;
    // Where rounding to bf16 carried the extreme over an edge, the interval shrinks to a point.
    low.push(Math.min(Math.max(from, min), max));
    high.push(Math.max(Math.min(to, max), min));
    weight.push(count);
    total += count;
  };
  for (let i = FINITE - 1; i >= 0; i--) add(-EDGES[i + 1], -EDGES[i], counts[SIGN + i]);
  for (let i = 0; i < FINITE; i++) add(EDGES[i], EDGES[i + 1], counts[i]);
  return {
    low: Float64Array.from(low),
    high: Float64Array.from(high),
    weight: Float64Array.from(weight),
    total,
    min,
    max,
  };
}
