import { z } from 'zod';
import { BookendError } from '../core/errors.ts';
import { divide, f32, linearCombination, sqrt32, sqrtComplement32 } from './float32.ts';

/**
 * What the model was trained to answer for x_t = α·x_0 + σ·ε: the noise ε, the clean sample x_0, or
 * the velocity v = α·ε − σ·x_0 (Salimans and Ho, "Progressive Distillation for Fast Sampling of
 * Diffusion Models", 2022, section 4).
 */
export type PredictionType = 'epsilon' | 'v_prediction' | 'sample';

export const predictionOption = {
  prediction_type: z.enum(['epsilon', 'v_prediction', 'sample']).default('epsilon'),
};

/** The factors α and σ of x_t = α·x_0 + σ·ε. */
export interface NoiseLevel {
  readonly alpha: number;
  readonly sigma: number;
}

/** α = √ᾱ, σ = √(1 − ᾱ): variance preserving. */
export function levelFromAlphaCumprod(alphaCumprod: number): NoiseLevel {
  return { alpha: sqrt32(alphaCumprod), sigma: sqrtComplement32(alphaCumprod) };
}

/** The clean sample x_0 that the model's answer implies. */
export function predictDenoised(
  type: PredictionType,
  modelOutput: Float32Array,
  sample: Float32Array,
  { alpha, sigma }: NoiseLevel,
): Float32Array {
  switch (type) {
    case 'epsilon':
      refuseZero(alpha, 'signal', type);
      return divide(linearCombination([1, sample], [-sigma, modelOutput]), alpha);
    case 'v_prediction':
      return linearCombination([alpha, sample], [-sigma, modelOutput]);
    case 'sample':
      return modelOutput;
  }
}

/** The noise ε that the model's answer implies. */
export function predictEpsilon(
  type: PredictionType,
  modelOutput: Float32Array,
  sample: Float32Array,
  { alpha, sigma }: NoiseLevel,
): Float32Array {
  switch (type) {
    case 'epsilon':
      return modelOutput;
    case 'v_prediction':
      return linearCombination([alpha, modelOutput], [sigma, sample]);
    case 'sample':
      refuseZero(sigma, 'noise', type);
      return divide(linearCombination([1, sample], [-alpha, modelOutput]), sigma);
  }
}

function refuseZero(factor: number, what: string, type: PredictionType): void {
  if (factor !== 0) return;
  throw new BookendError(
    'unsupported',
    `A timestep of this schedule has no ${what} at all, where a model that predicts '${type}' says nothing about the image; use a v_prediction model or rescale_betas_zero_snr = false.`,
  );
}

/** The options that keep the predicted clean sample in range by dynamic thresholding. */
export const thresholdingOptions = {
  thresholding: z.boolean().default(false),
  dynamic_thresholding_ratio: z.number().min(0).max(1).default(0.995),
  sample_max_value: z.number().positive().default(1),
};

/** Those, and clipping, whose default differs between schedulers. */
export const rangeOptions = {
  ...thresholdingOptions,
  clip_sample_range: z.number().positive().default(1),
};

export interface RangeOptions {
  readonly clip_sample?: boolean;
  readonly clip_sample_range?: number;
  readonly thresholding: boolean;
  readonly dynamic_thresholding_ratio: number;
  readonly sample_max_value: number;
}

/** Thresholds or clips x_0, or leaves it alone, as `options` say. */
export function limitDenoised(
  denoised: Float32Array,
  options: RangeOptions,
  batchSize: number,
): Float32Array {
  if (options.thresholding) return dynamicThreshold(denoised, options, batchSize);
  if (!options.clip_sample) return denoised;
  const limit = f32(options.clip_sample_range ?? 1);
  return denoised.map((x) => Math.min(limit, Math.max(-limit, x)));
}

/**
 * Dynamic thresholding (Saharia et al., "Photorealistic Text-to-Image Diffusion Models with Deep
 * Language Understanding", 2022, section 2.3): with s the given quantile of an image's |x_0|, at
 * least 1 and at most `sample_max_value`, clips to [−s, s] and divides by s. Pixels only.
 */
function dynamicThreshold(
  denoised: Float32Array,
  options: RangeOptions,
  batchSize: number,
): Float32Array {
  const out = Float32Array.from(denoised);
  const length = out.length / batchSize;
  for (let start = 0; start < out.length; start += length) {
    const image = out.subarray(start, start + length);
    const magnitude = quantile(image.map(Math.abs), options.dynamic_thresholding_ratio);
    const limit = Math.min(f32(options.sample_max_value), Math.max(1, magnitude));
    for (let i = 0; i < length; i++) {
      image[i] = f32(Math.min(limit, Math.max(-limit, image[i]))) / limit;
    }
  }
  return out;
}

/** The quantile with linear interpolation between neighbours; sorts `values`. */
function quantile(values: Float32Array, q: number): number {
  values.sort();
  const rank = f32(f32(q) * (values.length - 1));
  const below = Math.floor(rank);
  const above = Math.min(below + 1, values.length - 1);
  return f32(values[below] + f32(rank - below) * (values[above] - values[below]));
}
