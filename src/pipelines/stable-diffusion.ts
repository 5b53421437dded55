import { BookendError } from '../core/errors.ts';
import { type Image, imageOfFloats } from '../io/image-data.ts';
import { peakMemory } from '../runtime/native/memory.ts';
import type { SchedulerJson } from '../schedulers/config.ts';
import { createScheduler, type Scheduler, schedulerFromConfig } from '../schedulers/index.ts';
import type { Denoiser } from './denoiser.ts';
import type { ImageAutoencoder, PixelBatch } from './image-autoencoder.ts';
import type { LatentShape } from './latents.ts';
import {
  type GenerationResult,
  type Precision,
  type PromptRequest,
  requireExtent,
  requireNumber,
  requireWhole,
  seedsOf,
} from './request.ts';
import { startStopwatch } from './stopwatch.ts';
import type { PromptEmbeddings, TextEncoder } from './text-encoder.ts';

/** The networks of a Stable Diffusion checkpoint, ready to run. */
export interface StableDiffusion {
  /** Where it was loaded from. */
  readonly origin: string;
  readonly precision: Precision;
  readonly textEncoder: TextEncoder;
  readonly denoiser: Denoiser;
  readonly autoencoder: ImageAutoencoder;
  readonly schedulerConfig: SchedulerJson;
  dispose(): Promise<void>;
}

/** A prompt request with its defaults filled in and checked. */
export interface PromptSettings {
  readonly prompt: string;
  readonly negativePrompt: string;
  readonly guidanceScale: number;
  readonly clipSkip: number;
  readonly steps: number;
  readonly eta: number;
  readonly seeds: readonly number[];
  readonly scheduler: Scheduler;
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
  const { guidanceScale = 7.5, clipSkip = 0, numInferenceSteps = 50, eta = 0 } = request;
  return {
    prompt,
    negativePrompt: request.negativePrompt ?? '',
    guidanceScale: requireNumber('guidanceScale', guidanceScale, 0, 1000),
    clipSkip,
    steps: requireWhole('numInferenceSteps', numInferenceSteps, 1, MAX_STEPS),
    eta: requireNumber('eta', eta, 0, 1),
    seeds: seedsOf(request),
    scheduler: request.scheduler
      ? createScheduler(request.scheduler, model.schedulerConfig)
      : schedulerFromConfig(model.schedulerConfig),
  };
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

/**
 * Embeddings for a run of `images` images: with guidance, first the negative prompt's, then the
 * prompt's, each repeated for every image. As in diffusers, `clipSkip` is the prompt's alone.
 */
export async function encodeConditioning(
  model: StableDiffusion,
  { prompt, negativePrompt, guidanceScale, clipSkip }: PromptSettings,
  images: number,
  signal?: AbortSignal,
): Promise<PromptEmbeddings> {
  const guided = model.denoiser.guides(guidanceScale);
  const asked = { text: prompt, clipSkip };
  const prompts = guided ? [{ text: negativePrompt, clipSkip: 0 }, asked] : [asked];
  const encoded = await model.textEncoder.encode(prompts, signal);
  const each = encoded.tokens * encoded.width;
  const data = new Float32Array(prompts.length * images * each);
  for (let copy = 0; copy < prompts.length * images; copy++) {
    const source = Math.floor(copy / images) * each;
    data.set(encoded.data.subarray(source, source + each), copy * each);
  }
  return { ...encoded, data, prompts: prompts.length * images };
}

/** The last leg of every pipeline: latents to images, and the account of the run. */
export async function finish(
  model: StableDiffusion,
  latents: Float32Array,
  shape: LatentShape,
  account: {
    readonly seeds: readonly number[];
    readonly schedule: readonly Precision[];
    readonly textEncode: number;
    readonly steps: readonly number[];
    readonly elapsed: () => number;
    readonly signal?: AbortSignal;
  },
): Promise<GenerationResult> {
  const decoding = startStopwatch();
  const pixels = await model.autoencoder.decode(latents, shape, { signal: account.signal });
  const images = imagesOf(pixels);
  const decode = decoding();
  return {
    images,
    seeds: account.seeds,
    schedule: account.schedule,
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
