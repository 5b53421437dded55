import { BookendError, throwIfAborted } from '../core/errors.ts';
import { startStopwatch } from '../core/stopwatch.ts';
import { type Image, imageOfFloats } from '../io/image-data.ts';
import type { PrecisionSchedule } from '../quantization/precision-schedule.ts';
import type { PrecisionSensitivity } from '../quantization/sensitivity.ts';
import { peakMemory } from '../runtime/native/memory.ts';
import type { SchedulerJson } from '../schedulers/config.ts';
import {
  createScheduler,
  type Scheduler,
  type SchedulerRun,
  schedulerFromConfig,
} from '../schedulers/index.ts';
import type { Denoiser, DenoiserPlan } from './denoiser.ts';
import type { ImageAutoencoder, PixelBatch } from './image-autoencoder.ts';
import type { LatentShape } from './latents.ts';
import { precisionSchedule, type ResolvedPrecision, resolvePrecision } from './precision-plan.ts';
import {
  type GenerationResult,
  type HighPrecision,
  type PrecisionOptions,
  type PromptRequest,
  requireExtent,
  requireNumber,
  requireWhole,
  seedsOf,
} from './request.ts';
import type { TextEncoder, TokenizedPrompts } from './text-encoder.ts';

/** The networks of a Stable Diffusion checkpoint, ready to run. */
export interface StableDiffusion {
  /** Where it was loaded from. */
  readonly origin: string;
  /** Of text encoder and autoencoder. */
  readonly precision: HighPrecision;
  /** What it was loaded with, for requests that do not say. */
  readonly precisionOptions: PrecisionOptions;
  /** Of a quantized model, where it was measured. */
  readonly sensitivity?: PrecisionSensitivity;
  readonly textEncoder: TextEncoder;
  readonly denoiser: Denoiser;
  readonly autoencoder: ImageAutoencoder;
  readonly schedulerConfig: SchedulerJson;
  dispose(): Promise<void>;
}

/** A prompt request with its defaults filled in and checked. */
export interface PromptSettings {
  /** With guidance, the negative prompt comes first. */
  readonly tokenized: TokenizedPrompts;
  readonly guidanceScale: number;
  readonly steps: number;
  readonly eta: number;
  readonly seeds: readonly number[];
  readonly scheduler: Scheduler;
  readonly precision: PrecisionSchedule;
}

const MAX_STEPS = 1000;

export function promptSettings(
  model: StableDiffusion,
  prompt: string,
  request: PromptRequest,
): PromptSettings {
  if (typeof prompt !== 'string') {
    throw new BookendError('invalid-argument', `The prompt is ${typeof prompt}; pass a string.`);
  }
  throwIfAborted(request.signal);
  const { guidanceScale = 7.5, clipSkip = 0, numInferenceSteps = 50, eta = 0 } = request;
  requireNumber('guidanceScale', guidanceScale, 0, 1000);
  const positive = { text: prompt, clipSkip };
  // As in diffusers, clipSkip is the prompt's alone.
  const negative = { text: request.negativePrompt ?? '', clipSkip: 0 };
  const guided = model.denoiser.guides(guidanceScale);
  return {
    tokenized: model.textEncoder.tokenize(guided ? [negative, positive] : [positive]),
    guidanceScale,
    steps: requireWhole('numInferenceSteps', numInferenceSteps, 1, MAX_STEPS),
    eta: requireNumber('eta', eta, 0, 1),
    seeds: seedsOf(request),
    scheduler: request.scheduler
      ? createScheduler(request.scheduler, model.schedulerConfig)
      : schedulerFromConfig(model.schedulerConfig),
    precision: precisionSchedule(model.precisionOptions, request),
  };
}

/**
 * What the denoiser needs to know of a run: above all, which precision it takes at which step.
 *
 * @throws BookendError as `resolvePrecision` does
 */
export async function planDenoiser(
  { origin, sensitivity, denoiser }: StableDiffusion,
  settings: PromptSettings,
  shape: LatentShape,
  run: SchedulerRun,
  signal?: AbortSignal,
): Promise<DenoiserPlan & ResolvedPrecision> {
  const { guidanceScale, tokenized, scheduler, precision } = settings;
  const { unet } = denoiser;
  const size = { shape, tokens: tokenized.tokens, guidanceScale };
  const resolved = await resolvePrecision(precision, scheduler, run, {
    origin,
    sensitivity,
    requireInt8: () => unet.requireInt8(),
    measure: (timestep, wanted) =>
      unet.stepSeconds(denoiser.unetSize(size), timestep, wanted, signal),
  });
  return { ...size, timesteps: run.timesteps, ...resolved };
}

/** Whether the U-Net is shown a mask and a masked image beside the sample. @throws `unsupported` */
export function isInpaintingModel({ denoiser, autoencoder }: StableDiffusion): boolean {
  const { inChannels } = denoiser.config;
  const { latentChannels } = autoencoder.config;
  if (inChannels === latentChannels) return false;
  if (inChannels === 2 * latentChannels + 1) return true;
  throw new BookendError(
    'unsupported',
    `The U-Net has ${inChannels} input channels; Bookend runs those with ${latentChannels} (latents) or ${2 * latentChannels + 1} (latents, mask, masked latents).`,
  );
}

/** @throws BookendError `unsupported` for models that only inpaint */
export function requirePlainModel(model: StableDiffusion): void {
  if (!isInpaintingModel(model)) return;
  throw new BookendError(
    'unsupported',
    `${model.origin} is an inpainting model; give it an image and a mask, or choose an ordinary model.`,
  );
}

/** Latent extents for an image of `width` × `height` pixels, which default to the model's own. */
export function latentShape(
  model: StableDiffusion,
  batch: number,
  width?: number,
  height?: number,
): LatentShape {
  const { downscale, latentChannels } = model.autoencoder.config;
  const own = model.denoiser.config.sampleSize ?? { height: 64, width: 64 };
  return {
    batch,
    height: requireExtent('height', height ?? own.height * downscale, downscale) / downscale,
    width: requireExtent('width', width ?? own.width * downscale, downscale) / downscale,
    channels: latentChannels,
  };
}

/** The last leg of every pipeline: latents to images, and the account of the run. */
export async function finish(
  model: StableDiffusion,
  latents: Float32Array,
  shape: LatentShape,
  account: {
    readonly seeds: readonly number[];
    readonly plan: ResolvedPrecision;
    readonly textEncode: number;
    readonly steps: readonly number[];
    readonly elapsed: () => number;
  },
  { signal, onTileDecoded }: PromptRequest,
): Promise<GenerationResult> {
  const decoding = startStopwatch();
  const pixels = await model.autoencoder.decode(latents, shape, { signal, onTileDecoded });
  const images = imagesOf(pixels);
  const decode = decoding();
  return {
    images,
    seeds: account.seeds,
    schedule: account.plan.schedule,
    prediction: account.plan.prediction,
    timings: {
      textEncode: account.textEncode,
      steps: account.steps,
      decode,
      total: account.elapsed(),
    },
    peakMemory: peakMemory(),
  };
}

/** 8-bit images of a pixel batch. */
export function imagesOf({ batch, height, width, channels, data }: PixelBatch): Image[] {
  const count = height * width * channels;
  return Array.from({ length: batch }, (_, i) =>
    imageOfFloats(data.subarray(i * count, (i + 1) * count), width, height, channels as 1 | 3 | 4),
  );
}
