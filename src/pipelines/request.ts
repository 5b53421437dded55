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
 * What every kind of run takes. Names and defaults are those of diffusers' Stable Diffusion
 * pipelines, in camelCase.
 */
export interface RunRequest {
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
  readonly timings: Timings;
  /** Largest resident size of the process so far, in bytes. */
  readonly peakMemory: number;
}

const MAX_IMAGES = 1024;
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
