import { BookendError } from '../core/errors.ts';
import type { Image } from '../io/image-data.ts';
import type { InferencePrecision } from '../passes/index.ts';
import type { Precision } from '../quantization/precision-schedule.ts';
import type { SchedulerName } from '../schedulers/scheduler.ts';

export type { Precision };

/** What whole networks compute in. */
export type HighPrecision = Exclude<Precision, 'int8'>;

/** The same as the passes call it, who speak of storage types. */
export function inferencePrecision(precision: HighPrecision): InferencePrecision {
  return precision === 'fp32' ? 'f32' : 'bf16';
}

/** Which precision the U-Net computes in, and when. */
export interface PrecisionOptions {
  /**
   * By default BF16 where the CPU has instructions for it, else FP32: the high precision.
   *
   * - `int8` and those below need a model that `bookend quantize` has made.
   * - `mixed`: high precision for the first and the last `highPrecisionSteps`, INT8 between.
   * - `auto`: the fastest schedule of `minPsnr`, or the best within `maxSeconds`.
   */
  readonly precision?: Precision | 'mixed' | 'auto';
  /** For `mixed`, 5 by default; counts model evaluations. */
  readonly highPrecisionSteps?: number;
  /**
   * Instead of `precision`: one for each model evaluation (PNDM has more of them than steps and
   * image-to-image fewer), or a text. `bf16x5,int8x*,bf16x5` counts, `*` being what is left over;
   * `int8@0.5..7,bf16` goes by ranges from ≤ σ < to of the noise's standard deviation beside a
   * signal of factor one, either end of which may be left out, and a precision for the rest.
   */
  readonly schedule?: string | readonly Precision[];
  /** For `auto`: seconds that all denoising steps together may take. */
  readonly maxSeconds?: number;
  /** For `auto`: dB to the image of high precision, on average over prompts. */
  readonly minPsnr?: number;
}

/** What `auto` expects of the schedule that it chose. */
export interface PrecisionPrediction {
  /** dB to the image of high precision; absent where no step runs in INT8. */
  readonly psnr?: number;
  /** Of all denoising steps together. */
  readonly seconds: number;
}

/** Told after every model evaluation. */
export interface StepEnd {
  /** Counts from 0. */
  readonly step: number;
  readonly steps: number;
  readonly timestep: number;
  readonly precision: Precision;
  readonly seconds: number;
  /** The sample after this step, channels-last; reading it costs nothing, changing it is not allowed. */
  readonly latents: Float32Array;
}

/** Told after every piece of the images that the autoencoder has decoded. */
export interface TileDecoded {
  /** Counts from 0, over all images of the run. */
  readonly tile: number;
  /** One for each image; several for a large one. */
  readonly tiles: number;
  readonly seconds: number;
}

/**
 * What every kind of run takes; a precision or schedule given here goes before the one that the
 * pipeline was loaded with. Names and defaults are those of diffusers' Stable Diffusion
 * pipelines, in camelCase.
 */
export interface RunRequest extends PrecisionOptions {
  /** Steps of the scheduler, 50 by default. */
  readonly numInferenceSteps?: number;
  /** A number from 0 to 2^53 − 1; image i uses seed + i. Random by default, and reported. */
  readonly seed?: number;
  /** Images per prompt, 1 by default. */
  readonly numImages?: number;
  /** Instead of the model's own. */
  readonly scheduler?: SchedulerName;
  /** DDIM's η, 0 by default. */
  readonly eta?: number;
  readonly onStepEnd?: (event: StepEnd) => void;
  /** Stops between two instructions of the network; the promise rejects with code `aborted`. */
  readonly signal?: AbortSignal;
}

/** What every run that follows a text takes besides. */
export interface PromptRequest extends RunRequest {
  /** 7.5 by default; 1 or less turns guidance off. */
  readonly guidanceScale?: number;
  readonly negativePrompt?: string;
  /** Last layers of the text encoder to leave out, 0 by default. */
  readonly clipSkip?: number;
  readonly onTileDecoded?: (event: TileDecoded) => void;
}

/** Seconds. */
export interface Timings {
  /** The text, and what of the U-Net follows from text and timesteps alone. */
  readonly textEncode: number;
  readonly steps: readonly number[];
  readonly decode: number;
  readonly total: number;
}

export interface GenerationResult {
  readonly images: readonly Image[];
  /** Of each image: the same seed, prompt and settings give the same image again. */
  readonly seeds: readonly number[];
  /** The precision of each model evaluation. */
  readonly schedule: readonly Precision[];
  /** There for `auto`. */
  readonly prediction?: PrecisionPrediction;
  readonly timings: Timings;
  /** Largest resident size of the process so far, in bytes. */
  readonly peakMemory: number;
}

/** Of a request. */
export const MAX_IMAGES = 1024;
const MAX_EXTENT = 8192;

/** A whole number in range, or `invalid-argument`. */
export function requireWhole(name: string, value: number, min: number, max: number): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new BookendError(
    'invalid-argument',
    `${name} is ${value}; pass a whole number from ${min} to ${max}.`,
  );
}

/** A number in range, or `invalid-argument`. */
export function requireNumber(name: string, value: number, min: number, max: number): number {
  if (typeof value === 'number' && value >= min && value <= max) return value;
  throw new BookendError(
    'invalid-argument',
    `${name} is ${value}; pass a number from ${min} to ${max}.`,
  );
}

/** An image extent in pixels that the autoencoder can halve as often as it must. */
export function requireExtent(name: string, value: number, multiple: number): number {
  if (Number.isInteger(value) && value > 0 && value <= MAX_EXTENT && value % multiple === 0) {
    return value;
  }
  throw new BookendError(
    'invalid-argument',
    `The ${name} is ${value} pixels; pass a multiple of ${multiple} from ${multiple} to ${MAX_EXTENT}.`,
  );
}

/** One seed per image. */
export function seedsOf({ seed, numImages = 1 }: RunRequest): number[] {
  requireWhole('numImages', numImages, 1, MAX_IMAGES);
  const first = seed ?? Math.floor(Math.random() * 2 ** 32);
  requireWhole('seed', first, 0, Number.MAX_SAFE_INTEGER - numImages);
  return Array.from({ length: numImages }, (_, i) => first + i);
}
