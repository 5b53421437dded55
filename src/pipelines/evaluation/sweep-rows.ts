import type { FeatureExtractor } from '../../evaluation/feature-extractor.ts';
import { paretoOptimal } from '../../evaluation/pareto.ts';
import type { MedianSummary } from '../../evaluation/statistics.ts';
import type { ImageTimings } from '../image-timings.ts';
import { type Evaluation, evaluationOf } from './evaluation.ts';
import type { DrawnImage } from './image-set.ts';
import type { Reference } from './load-reference.ts';
import {
  imageSeconds,
  judgeSet,
  meanPsnr,
  measurePairs,
  type PairedQuality,
  recordedSeconds,
} from './sweep-measures.ts';
import { surroundingPrecision } from './sweep-models.ts';
import type { SweepPoint } from './sweep-points.ts';
import type { MeasuredSetting, SweepRecommendation } from './sweep-recommendation.ts';

/** A setting of a sweep, drawn and measured. */
export interface SweepRow extends SweepPoint {
  /**
   * Seconds of an image: over the rounds of the timings the sum of its model evaluations, text encoder
   * and decoder.
   */
  readonly seconds: MedianSummary;
  /** Median of what the images' records say, without the first one; a busy machine shows in it. */
  readonly recordedSeconds: number;
  /** Every image, its measures to FP32 with as many steps, and metrics of the set. */
  readonly evaluation: Evaluation;
  /** To FP32 with as many steps: what the precision costs. */
  readonly toSame: PairedQuality;
  /** To FP32 with the most steps: what steps and precision cost together. */
  readonly toMost: PairedQuality;
  /** Whether no other setting is as fast and as good. */
  readonly optimal: {
    /** Among settings of as many steps, by `toSame`. */
    readonly same: boolean;
    /** Among all, by `toMost`. */
    readonly most: boolean;
    /** Among all, by the Fréchet distance to the reference. */
    readonly frechet?: boolean;
  };
  /** For its number of steps. */
  readonly recommended: boolean;
}

export interface RowOptions {
  readonly timings: ImageTimings;
  /** Folders of FP32's images: with as many steps, with the most. */
  readonly pairs: { readonly same: string; readonly most: string };
  readonly judge?: {
    readonly extractor: FeatureExtractor;
    readonly reference?: Reference;
    /** The file that keeps the features. */
    readonly cache: string;
    readonly imagesPerPrompt?: number;
  };
  readonly threads?: number;
  readonly onImage?: (phase: 'measuring' | 'features', done: number, seconds: number) => void;
  readonly signal?: AbortSignal;
}

/** Measures the images of a setting; nothing is marked as optimal or recommended yet. */
export async function measureRow(
  point: SweepPoint,
  drawn: readonly DrawnImage[],
  options: RowOptions,
): Promise<SweepRow> {
  const { timings, pairs, judge, threads, onImage, signal } = options;
  const listen = (phase: 'measuring' | 'features') => (done: number, seconds: number) =>
    onImage?.(phase, done, seconds);
  const measuring = { onImage: listen('measuring'), signal };
  const same = await measurePairs(drawn, pairs.same, measuring);
  const most = pairs.most === pairs.same ? same : await measurePairs(drawn, pairs.most, measuring);
  const set =
    judge && (await judgeSet(drawn, { ...judge, threads, onImage: listen('features'), signal }));
  return {
    ...point,
    seconds: imageSeconds(point.schedule, timings, surroundingPrecision(point.options)),
    recordedSeconds: recordedSeconds(drawn),
    evaluation: evaluationOf(drawn, same.measures, set),
    toSame: same.quality,
    toMost: most.quality,
    optimal: { same: false, most: false },
    recommended: false,
  };
}

/** What a recommendation goes by. */
export function settingOf({ name, schedule, toSame, seconds }: SweepRow): MeasuredSetting {
  return { name, schedule, quality: toSame, seconds: seconds.median };
}

/** Marks the rows that no other one dominates, and those that are recommended. */
export function markOptimal(
  rows: readonly SweepRow[],
  recommendations: readonly SweepRecommendation[],
): SweepRow[] {
  const among = (candidates: readonly SweepRow[], quality: (row: SweepRow) => number) => {
    const tradeoffs = candidates.map((row) => ({
      cost: row.seconds.median,
      quality: quality(row),
    }));
    const optimal = paretoOptimal(tradeoffs);
    return new Set(candidates.filter((_, i) => optimal[i]));
  };
  const most = among(rows, ({ toMost }) => meanPsnr(toMost));
  const distances = rows.filter((row) => frechetOf(row) !== undefined);
  const frechet = among(distances, (row) => -frechetOf(row)!);
  return rows.map((row) => {
    const alike = rows.filter(({ steps }) => steps === row.steps);
    const same = among(alike, ({ toSame }) => meanPsnr(toSame));
    return {
      ...row,
      optimal: {
        same: same.has(row),
        most: most.has(row),
        ...(frechetOf(row) !== undefined && { frechet: frechet.has(row) }),
      },
      recommended: recommendations.some(
        ({ steps, name }) => steps === row.steps && name === row.name,
      ),
    };
  });
}

/** Fréchet distance to the reference, where there is one. */
export function frechetOf({ evaluation }: SweepRow): number | undefined {
  return evaluation.set?.reference?.frechet.distance;
}
