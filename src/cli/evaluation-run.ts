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
import { type SetMetrics, setMetrics } from '../pipelines/evaluation/set-metrics.ts';
import type { EvaluateOptions } from './evaluate-options.ts';
import { createProgress, type Progress } from './progress.ts';

/** The networks that say how good an image is, as far as they are asked for. */
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

/** Takes every measure that the options ask for, and stores the features. */
export async function measure(
  drawn: readonly DrawnImage[],
  { clip, extractor }: Judges,
  options: EvaluateOptions,
  signal: AbortSignal,
): Promise<Evaluation> {
  const { paired } = options;
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
  return evaluationOf(drawn, measures, await ofSet(features, extractor, options, signal));
}

async function ofSet(
  features: ImageFeatures,
  extractor: FeatureExtractor,
  { out, reference, imagesPerPrompt, threads }: EvaluateOptions,
  signal: AbortSignal,
): Promise<SetMetrics> {
  if (reference === undefined) return setMetrics(features, { imagesPerPrompt, threads });
  let progress: Progress | undefined;
  const onImage: FeatureOptions['onImage'] = (done, total, seconds) => {
    progress ??= createProgress('Features of the reference', total, 'image');
    progress.update(done, seconds);
  };
  const other = await referenceFeatures(extractor, reference, { onImage, signal }).finally(() =>
    progress?.finish(),
  );
  if (await isFolder(reference)) await writeFeatures(join(out, 'reference.safetensors'), other);
  return setMetrics(features, { reference: other, imagesPerPrompt, threads });
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
