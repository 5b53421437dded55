import { dirname } from 'node:path';
import { median } from '../../evaluation/benchmark.ts';
import type { FeatureExtractor } from '../../evaluation/feature-extractor.ts';
import { type MedianSummary, type Summary, summarizeMedian } from '../../evaluation/statistics.ts';
import type { Precision } from '../../quantization/precision-schedule.ts';
import type { ImageTimings } from '../image-timings.ts';
import { prepareResultFolder } from '../output-folder.ts';
import type { HighPrecision } from '../request.ts';
import { type Evaluation, evaluationOf } from './evaluation.ts';
import { featuresOfImages } from './image-features.ts';
import type { DrawnImage } from './image-set.ts';
import type { Reference } from './load-reference.ts';
import { type ImageMeasures, measureImages } from './measure-images.ts';
import { type SetMetrics, setMetrics } from './set-metrics.ts';

/** PSNR of a set to its pairs. */
export interface PairedQuality {
  /** dB over the images that differ from their pair; absent where all are equal. */
  readonly psnr?: Summary;
  /** Images that equal their pair. */
  readonly equal: number;
}

/** Mean PSNR in dB; infinite where all images equal their pair. */
export function meanPsnr({ psnr }: PairedQuality): number {
  return psnr?.mean ?? Number.POSITIVE_INFINITY;
}

/** Told after every image. */
export type ImageListener = (done: number, seconds: number) => void;

export interface MeasuringOptions {
  readonly onImage?: ImageListener;
  readonly signal?: AbortSignal;
}

/** PSNR and SSIM of each image to the one of the same name in `folder`. */
export async function measurePairs(
  drawn: readonly DrawnImage[],
  folder: string,
  options: MeasuringOptions,
): Promise<{ readonly quality: PairedQuality; readonly measures: readonly ImageMeasures[] }> {
  const measures = await measureImages(drawn, { ...options, paired: folder });
  const { summaries, equal }: Evaluation = evaluationOf(drawn, measures);
  return { quality: { ...(summaries.psnr && { psnr: summaries.psnr }), equal }, measures };
}

export interface SetJudging extends MeasuringOptions {
  readonly extractor: FeatureExtractor;
  /** To compare with. */
  readonly reference?: Reference;
  /** The file that keeps the features, as in `FeatureOptions`. */
  readonly cache: string;
  readonly imagesPerPrompt?: number;
  readonly threads?: number;
}

/** Metrics of a set as a whole. */
export async function judgeSet(
  drawn: readonly DrawnImage[],
  judging: SetJudging,
): Promise<SetMetrics> {
  const { extractor, cache, reference, imagesPerPrompt, threads, onImage, signal } = judging;
  await prepareResultFolder(dirname(cache));
  const paths = drawn.map(({ path }) => path);
  const features = await featuresOfImages(extractor, paths, {
    cache,
    onImage: (done, _, seconds) => onImage?.(done, seconds),
    signal,
  });
  return setMetrics(features, { reference, imagesPerPrompt, threads });
}

/**
 * Seconds of an image, over the rounds of the timings: the sum over its model evaluations, and text
 * encoder and decoder.
 *
 * @param surrounding what these compute in
 */
export function imageSeconds(
  schedule: readonly Precision[],
  { evaluations, around }: ImageTimings,
  surrounding: HighPrecision,
): MedianSummary {
  const totals = around[surrounding]!.map((seconds, round) =>
    schedule.reduce((sum, precision) => sum + evaluations[precision]![round], seconds),
  );
  return summarizeMedian(totals);
}

/** Median over the images. The first of a set, with loading in it, counts where it is the only one. */
export function recordedSeconds(drawn: readonly DrawnImage[]): number {
  const counted = drawn.length > 1 ? drawn.slice(1) : drawn;
  return median(counted.map(({ record }) => record.seconds.total));
}
