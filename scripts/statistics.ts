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
