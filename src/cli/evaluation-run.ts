import { join } from 'node:path';
import type { FeatureExtractor } from '../evaluation/feature-extractor.ts';
import { pairedDistances } from '../evaluation/paired-distance.ts';
import { isFolder } from '../io/checkpoint.ts';
import { type ClipModel, loadClipModel } from '../pipelines/evaluation/clip-model.ts';
import { type Evaluation, evaluationOf } from '../pipelines/evaluation/evaluation.ts';
import {
  type FeatureOptions,
  featuresOfImages,
  type ImageFeatures,
  referenceFeatures,
  writeFeatures,
} from '../pipelines/evaluation/image-features.ts';
import type { DrawnImage } from '../pipelines/evaluation/image-set.ts';
import { loadExtractor } from '../pipelines/evaluation/load-extractor.ts';
import {
  type ImageMeasures,
  measureImages,
  pairedPath,
} from '../pipelines/evaluation/measure-images.ts';
import { setMetrics } from '../pipelines/evaluation/set-metrics.ts';
import type { EvaluateOptions } from './evaluate-options.ts';
import { createProgress, type Progress } from './progress.ts';

/** What says how good an image is, as far as it is asked for. */
export interface Judges {
  readonly clip?: ClipModel;
  readonly extractor?: FeatureExtractor;
}

/** @throws BookendError as loading them does */
export async function openJudges(options: EvaluateOptions): Promise<Judges> {
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

/**
 * The features to compare with; those of a folder's images are stored for the next time. Undefined where no reference is asked for.
 */
export async function openReference(
  { extractor }: Judges,
  { out, reference }: EvaluateOptions,
  signal: AbortSignal,
): Promise<ImageFeatures | undefined> {
  if (!extractor || reference === undefined) return undefined;
  let progress: Progress | undefined;
  const onImage: FeatureOptions['onImage'] = (done, total, seconds) => {
    progress ??= createProgress('Features of the reference', total, 'image');
    progress.update(done, seconds);
  };
  const features = await referenceFeatures(extractor, reference, { onImage, signal }).finally(() =>
    progress?.finish(),
  );
  if (await isFolder(reference)) {
    await writeFeatures(join(out, 'reference.safetensors'), features);
  }
  return features;
}

/** Takes every measure that the options ask for, and stores the features. */
export async function measure(
  drawn: readonly DrawnImage[],
  { clip, extractor }: Judges,
  reference: ImageFeatures | undefined,
  options: EvaluateOptions,
  signal: AbortSignal,
): Promise<Evaluation> {
  const { paired, imagesPerPrompt, threads } = options;
  let measures: ImageMeasures[] = drawn.map(() => ({}));
  if (clip || paired !== undefined) {
    measures = await withProgress('Measuring', drawn.length, (onImage) =>
      measureImages(drawn, { paired, clip, onImage, signal }),
    );
  }
  if (!extractor) return evaluationOf(drawn, measures);
  const ofImages = (label: string, paths: readonly string[]) =>
    withProgress(label, paths.length, (onImage) =>
      featuresOfImages(extractor, paths, {
        onImage: (done, _, each) => onImage(done, each),
        signal,
      }),
    );
  const paths = drawn.map(({ path }) => path);
  const features = await ofImages('Features', paths);
  await writeFeatures(join(options.out, 'features.safetensors'), features);
  if (paired !== undefined) {
    const pairs = drawn.map((image) => pairedPath(image, paired));
    const distances = pairedDistances(features, await ofImages('Features of pairs', pairs));
    measures = measures.map((one, i) => ({ ...one, featureDistance: distances[i] }));
  }
  const ofSet = await setMetrics(features, { reference, imagesPerPrompt, threads });
  return evaluationOf(drawn, measures, ofSet);
}

async function withProgress<T>(
  label: string,
  total: number,
  run: (onImage: (done: number, seconds: number) => void) => Promise<T>,
): Promise<T> {
  const progress = createProgress(label, total, 'image');
  try {
    return await run((done, seconds) => progress.update(done, seconds));
  } finally {
    progress.finish();
  }
}
