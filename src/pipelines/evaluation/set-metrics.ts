import { featureStatistics } from '../../evaluation/feature-statistics.ts';
import { type FrechetDistance, frechetDistance } from '../../evaluation/frechet-distance.ts';
import { type InceptionScore, inceptionScore } from '../../evaluation/inception-score.ts';
import { type KernelDistance, kernelDistance } from '../../evaluation/kernel-distance.ts';
import { diversity, type MeanOverPrompts } from '../../evaluation/paired-distance.ts';
import { type PrecisionRecall, precisionRecall } from '../../evaluation/precision-recall.ts';
import type { ImageFeatures } from './image-features.ts';
import type { Reference } from './load-reference.ts';

/** What is known of a set of images as a whole; not to be compared with another extractor's. */
export interface SetMetrics {
  /** The extractor's name. */
  readonly extractor: string;
  readonly images: number;
  readonly inceptionScore?: InceptionScore;
  /** There with several images of a prompt. */
  readonly diversity?: MeanOverPrompts;
  readonly reference?: ReferenceMetrics;
  /** What is missing and why, and what is to be taken with care. */
  readonly notes: readonly string[];
}

/** How far the set is from a reference set. */
export interface ReferenceMetrics {
  /** Absent of statistics that come without it. */
  readonly images?: number;
  readonly frechet: FrechetDistance;
  /** Absent, as precision and recall are, where the reference is statistics alone. */
  readonly kernel?: KernelDistance;
  readonly precisionRecall?: PrecisionRecall;
}

export interface SetMetricsOptions {
  readonly reference?: Reference;
  /** So many images of each prompt, one after another; 1 by default. */
  readonly imagesPerPrompt?: number;
  readonly threads?: number;
}

/** As the papers have them. */
const SPLITS = 10;
const NEIGHBOURS = 3;

/** @throws BookendError `invalid-argument` for a set or a reference of a single image */
export async function setMetrics(
  features: ImageFeatures,
  { reference, imagesPerPrompt = 1, threads }: SetMetricsOptions = {},
): Promise<SetMetrics> {
  const { count, extractor, logits } = features;
  const notes: string[] = [];
  const ofReference = reference && (await referenceMetrics(features, reference, notes, threads));
  const scored = logits && count >= SPLITS;
  if (logits && !scored) {
    notes.push(`${count} images are too few for an Inception Score over ${SPLITS} parts of them.`);
  }
  return {
    extractor,
    images: count,
    ...(scored && { inceptionScore: await inceptionScore(logits.data, logits.classes) }),
    ...(imagesPerPrompt > 1 && { diversity: diversity(byPrompt(features, imagesPerPrompt)) }),
    ...(ofReference && { reference: ofReference }),
    notes,
  };
}

async function referenceMetrics(
  features: ImageFeatures,
  reference: Reference,
  notes: string[],
  threads: number | undefined,
): Promise<ReferenceMetrics> {
  const own = await featureStatistics(features.data, features.dimensions);
  const isFeatures = !('covariance' in reference);
  const other = isFeatures
    ? await featureStatistics(reference.data, reference.dimensions)
    : reference;
  const frechet = await frechetDistance(own, other, { threads });
  if (frechet.warning) notes.push(frechet.warning);
  if (!isFeatures) {
    notes.push(
      `The reference is means and covariances alone: there is no kernel distance, precision and recall to them, and the Fréchet distance means something only if they are of ${features.extractor} as well, resizing included, which they do not say.`,
    );
    return { frechet, ...(reference.count !== undefined && { images: reference.count }) };
  }
  const kernel = await kernelDistance(features, reference);
  const fewest = Math.min(features.count, reference.count);
  if (fewest <= NEIGHBOURS) {
    notes.push(
      `${fewest} images are too few for precision and recall by ${NEIGHBOURS} neighbours.`,
    );
    return { images: reference.count, frechet, kernel };
  }
  const shares = await precisionRecall(reference, features);
  return { images: reference.count, frechet, kernel, precisionRecall: shares };
}

function byPrompt({ data, dimensions, count }: ImageFeatures, each: number) {
  return Array.from({ length: Math.floor(count / each) }, (_, i) => ({
    data: data.subarray(i * each * dimensions, (i + 1) * each * dimensions),
    dimensions,
  }));
}
