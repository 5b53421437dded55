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
