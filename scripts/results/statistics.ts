import { mean, type Summary, summarize } from '../../src/evaluation/statistics.ts';

/**
 * The mean over prompts of the mean over a prompt's images: images of one prompt are no independent
 * draws. Null, as JSON has infinity, is left out.
 *
 * @param each images of a prompt, one after another
 */
export function overPrompts(values: readonly (number | null)[], each: number): Summary {
  return summarize(promptMeans(values, each));
}

/** Of what `values` has above `baseline`, image by image. */
export function differenceOverPrompts(
  values: readonly number[],
  baseline: readonly number[],
  each: number,
): Summary {
  return overPrompts(
    values.map((value, i) => value - baseline[i]),
    each,
  );
}

function promptMeans(values: readonly (number | null)[], each: number): number[] {
  const means: number[] = [];
  for (let start = 0; start < values.length; start += each) {
    const known = values.slice(start, start + each).filter((value) => value !== null);
    if (known.length > 0) means.push(mean(known));
  }
  return means;
}
