import { dirname, join, resolve } from 'node:path';
import type { FeatureExtractor } from '../evaluation/feature-extractor.ts';
import { pairedDistances } from '../evaluation/paired-distance.ts';
import { type ClipModel, loadClipModel } from '../pipelines/evaluation/clip-model.ts';
import { type Evaluation, evaluationOf } from '../pipelines/evaluation/evaluation.ts';
import { featuresOfImages } from '../pipelines/evaluation/image-features.ts';
import type { DrawnImage } from '../pipelines/evaluation/image-set.ts';
import { loadExtractor } from '../pipelines/evaluation/load-extractor.ts';
import { loadReference, type Reference } from '../pipelines/evaluation/load-reference.ts';
import {
  type ImageMeasures,
  measureImages,
  pairedPath,
} from '../pipelines/evaluation/measure-images.ts';
import { setMetrics } from '../pipelines/evaluation/set-metrics.ts';
import type { EvaluateOptions, ExtractorOptions } from './evaluate-options.ts';
import { createProgress, type Progress } from './progress.ts';

/** What says how good an image is, as far as it is asked for. */
export interface Judges {
  readonly clip?: ClipModel;
  readonly extractor?: FeatureExtractor;
}

/** @throws BookendError as loading them does */
export async function openJudges(
  options: ExtractorOptions & Pick<EvaluateOptions, 'clip' | 'download' | 'threads'>,
): Promise<Judges> {
  const { clip, extractor, resizing, download, threads } = options;
  const judge =
    clip === undefined ? {} : { clip: await loadClipModel(clip, { download, threads }) };
  if (extractor === undefined) return judge;
  try {
    return { ...judge, extractor: await loadExtractor(extractor, { resizing, threads }) };
  } catch (error) {
    await judge.clip?.dispose();
    throw error;
  }
}

/** Where a run keeps the features of its own images, in its folder. */
const FEATURES = 'features.safetensors';

/** Features that the run which drew the images of `folder` may have left beside it. */
function besides(folder: string): string[] {
  return [join(dirname(resolve(folder)), FEATURES)];
}

/**
 * What to compare with; the features of a folder's images are stored for the next time. Undefined
 * where no reference is asked for.
 */
export async function openReference(
  { extractor }: Judges,
  { out, reference }: Pick<EvaluateOptions, 'out' | 'reference'>,
  signal: AbortSignal,
): Promise<Reference | undefined> {
  if (!extractor || reference === undefined) return undefined;
  const caches = { cache: join(out, 'reference.safetensors'), otherCaches: besides(reference) };
  return withProgress('Features of the reference', (onImage) =>
    loadReference(extractor, reference, { ...caches, onImage, signal }),
  );
}

/** Takes every measure that the options ask for, and stores the features. */
export async function measure(
  drawn: readonly DrawnImage[],
  { clip, extractor }: Judges,
  reference: Reference | undefined,
  options: EvaluateOptions,
  signal: AbortSignal,
): Promise<Evaluation> {
  const { paired, imagesPerPrompt, threads } = options;
  let measures: ImageMeasures[] = drawn.map(() => ({}));
  if (clip || paired !== undefined) {
    measures = await withProgress('Measuring', (onImage) =>
      measureImages(drawn, {
        ...{ paired, clip, signal },
        onImage: (done, seconds) => onImage(done, drawn.length, seconds),
      }),
    );
  }
  if (!extractor) return evaluationOf(drawn, measures);
  const featuresOf = (
    label: string,
    paths: readonly string[],
    name: string,
    others: string[] = [],
  ) =>
    withProgress(label, (onImage) => {
      const caches = { cache: join(options.out, name), otherCaches: others };
      return featuresOfImages(extractor, paths, { ...caches, onImage, signal });
    });
  const paths = drawn.map(({ path }) => path);
  const features = await featuresOf('Features', paths, FEATURES);
  if (paired !== undefined) {
    const pairs = drawn.map((image) => pairedPath(image, paired));
    const name = 'pairs.safetensors';
    const ofPairs = await featuresOf('Features of pairs', pairs, name, besides(paired));
    const distances = pairedDistances(features, ofPairs);
    measures = measures.map((one, i) => ({ ...one, featureDistance: distances[i] }));
  }
  const ofSet = await setMetrics(features, { reference, imagesPerPrompt, threads });
  return evaluationOf(drawn, measures, ofSet);
}

/** Without a bar where there is nothing to do. */
async function withProgress<T>(
  label: string,
  run: (onImage: (done: number, total: number, seconds: number) => void) => Promise<T>,
): Promise<T> {
  let progress: Progress | undefined;
  try {
    return await run((done, total, seconds) => {
      progress ??= createProgress(label, total, 'image');
      progress.update(done, seconds);
    });
  } finally {
    progress?.finish();
  }
}
