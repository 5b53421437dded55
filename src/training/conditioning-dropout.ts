import { BookendError } from '../core/errors.ts';
import type { RandomStream } from './random-stream.ts';

/**
 * For each of `count` samples whether its text is to be replaced by the empty one, so that the model
 * also learns to answer without text, as guidance needs it (Ho and Salimans, "Classifier-Free
 * Diffusion Guidance", 2022, algorithm 1).
 *
 * @param probability from 0 to 1; the paper's are 0.1 to 0.5
 * @throws BookendError `invalid-argument`
 */
export function drawConditioningDropout(
  probability: number,
  count: number,
  random: RandomStream,
): boolean[] {
  if (!(probability >= 0 && probability <= 1)) {
    throw new BookendError(
      'invalid-argument',
      `The text cannot be left out with the probability ${probability}; give a number from 0 to 1.`,
    );
  }
  return Array.from({ length: count }, () => random.uniform() < probability);
}
