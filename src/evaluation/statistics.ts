import { median } from './benchmark.ts';

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Of a sample, with n − 1; NaN for fewer than two. */
export function deviation(values: readonly number[]): number {
  const center = mean(values);
  const squares = values.reduce((sum, value) => sum + (value - center) ** 2, 0);
  return Math.sqrt(squares / (values.length - 1));
}

/** Of the mean of `values`, as independent draws. */
export function standardError(values: readonly number[]): number {
  return deviation(values) / Math.sqrt(values.length);
}

/** Of values that are independent draws. */
export interface Summary {
  readonly count: number;
  readonly mean: number;
  /** Half the width of the mean's 95% interval; NaN for fewer than two values. */
  readonly halfWidth: number;
  readonly median: number;
  readonly lowest: number;
  readonly highest: number;
}

/** Two-sided 95% of a normal distribution. */
const QUANTILE = 1.96;

/** All NaN or infinite for no values. */
export function summarize(values: readonly number[]): Summary {
  return {
    count: values.length,
    mean: mean(values),
    halfWidth: QUANTILE * standardError(values),
    median: median(values),
    lowest: Math.min(...values),
    highest: Math.max(...values),
  };
}

/** The median of values that are independent draws, and its 95% interval. */
export interface MedianSummary {
  readonly count: number;
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

/**
 * The interval is that of order statistics, which asks nothing of the distribution but that it be
 * continuous: of n values in ascending order, the ranks (n ∓ 1.96·√n) ÷ 2, outwards. Of fewer than
 * eleven values it is their extremes.
 */
export function summarizeMedian(values: readonly number[]): MedianSummary {
  const sorted = [...values].sort((a, b) => a - b);
  const count = sorted.length;
  const reach = (QUANTILE * Math.sqrt(count)) / 2;
  const low = Math.max(0, Math.floor(count / 2 - reach) - 1);
  const high = Math.min(count - 1, Math.ceil(count / 2 + reach));
  return { count, median: median(sorted), low: sorted[low], high: sorted[high] };
}
