import { BookendError } from '../../core/errors.ts';
import type { FeatureExtractor } from '../../evaluation/feature-extractor.ts';
import type { FeatureStatistics } from '../../evaluation/feature-statistics.ts';
import { isFolder } from '../../io/checkpoint.ts';
import { type FeatureOptions, type ImageFeatures, referenceFeatures } from './image-features.ts';
import { readStatistics } from './stored-statistics.ts';

/** What a set is compared with: features of images, or what is left of them in statistics. */
export type Reference = ImageFeatures | FeatureStatistics;

/**
 * The reference that a path names: an .npz file of statistics, which do not say of which extractor
 * they are, or what `referenceFeatures` takes.
 *
 * @throws BookendError as `referenceFeatures` and `readStatistics` do; `invalid-argument` for
 *   statistics of another number of features
 */
export async function loadReference(
  extractor: FeatureExtractor,
  path: string,
  options: FeatureOptions = {},
): Promise<Reference> {
  if (!/\.npz$/i.test(path) || (await isFolder(path))) {
    return referenceFeatures(extractor, path, options);
  }
  const statistics = await readStatistics(path);
  if (statistics.dimensions === extractor.dimensions) return statistics;
  throw new BookendError(
    'invalid-argument',
    `${path} holds statistics of ${statistics.dimensions} features and ${extractor.name} has ${extractor.dimensions}; give statistics of this extractor, or images.`,
  );
}
