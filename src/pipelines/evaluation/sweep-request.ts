import type { FeatureExtractor } from '../../evaluation/feature-extractor.ts';
import type { ImageTimings } from '../image-timings.ts';
import type { LayerRanking } from '../layer-sensitivity.ts';
import type { HighPrecision } from '../request.ts';
import type { StepSensitivity } from '../sensitivity.ts';
import type { ImageSetPlan } from './image-set.ts';
import type { Reference } from './load-reference.ts';
import type { SweptModelOptions } from './sweep-models.ts';
import type { SweepGrid, SweepPoint, SweepSampling } from './sweep-points.ts';
import type { SweepRecommendation } from './sweep-recommendation.ts';
import type { SweepRow } from './sweep-rows.ts';

export interface SweepRequest extends SweepGrid {
  /** What to draw with each setting, as in `ImageSetPlan`. */
  readonly entries: ImageSetPlan['entries'];
  /** Image i has the seed `seed` + i, unless its entry names one. */
  readonly seed: number;
  readonly sampling: SweepSampling;
  /** So many images of each prompt, one after another, for diversity; 1 by default. */
  readonly imagesPerPrompt?: number;
  /** As in `DrawOptions`. */
  readonly batchSize?: number;
  readonly model?: SweptModelOptions;
  /** For metrics of the sets as wholes. */
  readonly extractor?: FeatureExtractor;
  /** Features of `extractor`, or statistics of them, to compare with. */
  readonly reference?: Reference;
  /** Evaluations to time in each precision, 7 by default. */
  readonly rounds?: number;
  /** How many of the prompts to measure the step sensitivity with, 2 by default; 0: leave it out. */
  readonly sensitivityPrompts?: number;
  /** Parts of a run to try in INT8, 8 by default; as many as steps give each its own. */
  readonly blocks?: number;
  /** Whether to rank the layers; true by default. */
  readonly layers?: boolean;
  /** dB to FP32 with as many steps that a recommended schedule must reach; see `defaultTarget`. */
  readonly minPsnr?: number;
  /** Told once, before the long work. */
  readonly onPlanned?: (plan: SweepForecast) => void;
  readonly onProgress?: (event: SweepProgress) => void;
  readonly signal?: AbortSignal;
}

/** What a sweep from scratch takes, without loading and compiling. */
export interface SweepForecast {
  readonly images: number;
  /** Seconds. */
  readonly drawing: number;
  readonly steps: number;
  readonly layers: number;
}

export interface SweepProgress {
  readonly phase: 'timing' | 'drawing' | 'steps' | 'layers' | 'measuring' | 'features';
  /** Of which setting; of `drawing`, `measuring` and `features`. */
  readonly point?: SweepPoint;
  readonly done: number;
  readonly total: number;
  /** What the last part took. */
  readonly seconds: number;
}

/** What a sweep found. */
export interface Sweep {
  /** By falling number of steps, and in the order of the settings. */
  readonly rows: readonly SweepRow[];
  readonly timings: ImageTimings;
  /** What mixed schedules compute in beside INT8. */
  readonly high: HighPrecision;
  /** Of models with INT8, where asked for. */
  readonly stepSensitivity?: StepSensitivity;
  readonly layerRanking?: LayerRanking;
  /** One for each number of steps. */
  readonly recommendations: readonly SweepRecommendation[];
  /** What was left out, and what is to be taken with care. */
  readonly notes: readonly string[];
}
