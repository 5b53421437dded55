import { mean, standardError } from '../../src/evaluation/statistics.ts';

/** A mean and half the width of its 95% interval. */
export interface Estimate {
  readonly mean: number;
  readonly halfWidth: number;
}

/** Two-sided 95% of a normal distribution; with 200 prompts, Student's t is within 1% of it. */
const QUANTILE = 1.96;

/**
 * The mean over prompts of the mean over a prompt's images: images of one prompt are no independent
 * draws. Null, as JSON has infinity, is left out.
 *
 * @param each images of a prompt, one after another
 */
export function overPrompts(values: readonly (number | null)[], each: number): Estimate {
  return estimate(promptMeans(values, each));
}

/** Of what `values` has above `baseline`, image by image. */
export function differenceOverPrompts(
  values: readonly number[],
  baseline: readonly number[],
  each: number,
): Estimate {
  return overPrompts(
    values.map((value, i) => value - baseline[i]),
    each,
  );
}

export function estimate(values: readonly number[]): Estimate {
  return { mean: mean(values), halfWidth: QUANTILE * standardError(values) };
}

function promptMeans(values: readonly (number | null)[], each: number): number[] {
  const means: number[] = [];
  for (let start = 0; start < values.length; start += each) {
    const known = values.slice(start, start + each).filter((value) => value !== null);
    if (known.length > 0) means.push(mean(known));
  }
  return means;
}
