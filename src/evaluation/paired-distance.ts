import { BookendError } from '../core/errors.ts';
import { rowDistance } from './distances.ts';
import { countRows, type FeatureRows } from './feature-extractor.ts';

/**
 * How far each image is from the one it is paired with, such as the full-precision image of the same
 * prompt and seed: the Euclidean distances of their features, in order.
 *
 * @throws BookendError `invalid-argument` unless both have as many rows
 */
export function pairedDistances(a: FeatureRows, b: FeatureRows): number[] {
  const counts = [countRows(a.data, a.dimensions), countRows(b.data, b.dimensions)];
  if (counts[0] !== counts[1] || a.dimensions !== b.dimensions) {
    throw new BookendError(
      'invalid-argument',
      `${counts[0]} images of ${a.dimensions} features cannot be paired with ${counts[1]} of ${b.dimensions}; give as many of both, by one extractor.`,
    );
  }
  return Array.from({ length: counts[0] }, (_, i) => rowDistance(a, i, b, i));
}

/**
 * How different the images of one prompt are: the mean Euclidean distance between the features of all
 * pairs of them. 0 where the seed changes nothing.
 *
 * @param rows images of one prompt and different seeds
 * @throws BookendError `invalid-argument` for fewer than two images
 */
export function meanPairwiseDistance(rows: FeatureRows): number {
  const count = countRows(rows.data, rows.dimensions);
  if (count < 2) {
    throw new BookendError(
      'invalid-argument',
      `There is no pair among ${count} images of the prompt; generate at least two seeds of it.`,
    );
  }
  let sum = 0;
  for (let i = 0; i < count; i++) {
    for (let j = 0; j < i; j++) sum += rowDistance(rows, i, rows, j);
  }
  return sum / ((count * (count - 1)) / 2);
}

/** A mean over prompts, and how far it may be off. */
export interface MeanOverPrompts {
  readonly mean: number;
  /** Standard error of the mean; 0 for a single prompt. */
  readonly standardError: number;
  readonly prompts: number;
}

/**
 * The diversity of a model: `meanPairwiseDistance` of each prompt, averaged.
 *
 * @param prompts the images of each prompt
 * @throws BookendError `invalid-argument` without prompts, or for one of fewer than two images
 */
export function diversity(prompts: readonly FeatureRows[]): MeanOverPrompts {
  if (prompts.length === 0) {
    throw new BookendError('invalid-argument', 'Diversity is that of prompts; give at least one.');
  }
  const values = prompts.map(meanPairwiseDistance);
  const count = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const standardError = count > 1 ? Math.sqrt(squares / (count - 1) / count) : 0;
  return { mean, standardError, prompts: count };
}
