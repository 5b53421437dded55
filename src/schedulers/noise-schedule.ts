import { z } from 'zod';
import { BookendError } from '../core/errors.ts';
import { f32, linearCombination, sqrt32 } from './float32.ts';
import { levelFromAlphaCumprod } from './prediction.ts';

/** The options that say how much noise training added at each timestep. */
export const noiseScheduleOptions = {
  num_train_timesteps: z.int().min(1).max(100_000).default(1000),
  beta_start: z.number().default(0.0001),
  beta_end: z.number().default(0.02),
  beta_schedule: z.enum(['linear', 'scaled_linear', 'squaredcos_cap_v2']).default('linear'),
  trained_betas: z.array(z.number()).min(1).optional(),
  rescale_betas_zero_snr: z.boolean().default(false),
};

const options = z.object(noiseScheduleOptions);
export type NoiseScheduleOptions = Omit<z.infer<typeof options>, 'rescale_betas_zero_snr'> & {
  /** Absent where a scheduler has no such option. */
  rescale_betas_zero_snr?: boolean;
};

/**
 * The forward process q(x_t | x_0) = N(√ᾱ_t·x_0, (1 − ᾱ_t)·I), ᾱ_t = ∏_{s≤t} (1 − β_s) (Ho et al.,
 * "Denoising Diffusion Probabilistic Models", 2020, equation 4).
 */
export interface NoiseSchedule {
  readonly betas: Float32Array;
  readonly alphasCumprod: Float32Array;
}

export function createNoiseSchedule(config: NoiseScheduleOptions): NoiseSchedule {
  const original = betasOf(config);
  const betas = config.rescale_betas_zero_snr ? rescaleToZeroSnr(original) : original;
  if (!betas.every((beta) => beta >= 0 && beta <= 1)) {
    throw new BookendError(
      'unsupported',
      `The betas from ${betas[0]} to ${betas.at(-1)} do not make a noise schedule; each must lie between 0 and 1.`,
    );
  }
  return { betas, alphasCumprod: cumulativeAlphas(betas) };
}

function betasOf(config: NoiseScheduleOptions): Float32Array {
  const { num_train_timesteps: length, beta_start: start, beta_end: end } = config;
  if (config.trained_betas) return trainedBetas(config.trained_betas, length);
  switch (config.beta_schedule) {
    case 'linear':
      return linspace32(start, end, length);
    case 'scaled_linear':
      return linspace32(Math.sqrt(start), Math.sqrt(end), length).map((root) => root * root);
    case 'squaredcos_cap_v2':
      return squaredCosineBetas(length);
  }
}

function trainedBetas(betas: readonly number[], length: number): Float32Array {
  if (betas.length === length) return Float32Array.from(betas);
  throw new BookendError(
    'unsupported',
    `trained_betas has ${betas.length} entries and num_train_timesteps is ${length}; they must agree.`,
  );
}

/** Evenly spaced float32 numbers, counted from the nearer end with one rounding, as torch does. */
function linspace32(first: number, last: number, length: number): Float32Array {
  const [start, end] = [f32(first), f32(last)];
  const step = f32(f32(end - start) / Math.max(1, length - 1));
  const half = Math.floor(length / 2);
  // A lone point is the start.
  return Float32Array.from({ length }, (_, i) =>
    i < half || length === 1 ? start + step * i : end - step * (length - 1 - i),
  );
}

/**
 * ᾱ(t) = cos²((t + 0.008)/1.008 · π/2), β at most 0.999 (Nichol and Dhariwal, "Improved Denoising
 * Diffusion Probabilistic Models", 2021, equation 17).
 */
function squaredCosineBetas(length: number): Float32Array {
  const alphaBar = (t: number) => Math.cos((((t + 0.008) / 1.008) * Math.PI) / 2) ** 2;
  return Float32Array.from({ length }, (_, i) =>
    Math.min(1 - alphaBar((i + 1) / length) / alphaBar(i / length), 0.999),
  );
}

/** Running products of 1 − β: accumulated in float64, stored as float32. */
function cumulativeAlphas(betas: Float32Array): Float32Array {
  let product = 1;
  return betas.map((beta) => {
    product *= f32(1 - beta);
    return product;
  });
}

/**
 * Shifts and stretches √ᾱ so that the last timestep is noise alone while the first keeps its value
 * (Lin et al., "Common Diffusion Noise Schedules and Sample Steps are Flawed", 2023, algorithm 1).
 */
function rescaleToZeroSnr(betas: Float32Array): Float32Array {
  const roots = cumulativeAlphas(betas).map(Math.sqrt);
  const [first, last] = [roots[0], roots[roots.length - 1]];
  const stretch = f32(first / f32(first - last));
  const alphasCumprod = roots.map((root) => {
    const moved = f32(f32(root - last) * stretch);
    return moved * moved;
  });
  return alphasCumprod.map((alpha, t) => 1 - (t === 0 ? alpha : f32(alpha / alphasCumprod[t - 1])));
}

/** √ᾱ_t·sample + √(1 − ᾱ_t)·noise: a draw of q(x_t | x_0). */
export function addNoise(
  sample: Float32Array,
  noise: Float32Array,
  alphaCumprod: number,
): Float32Array {
  const { alpha, sigma } = levelFromAlphaCumprod(alphaCumprod);
  return linearCombination([alpha, sample], [sigma, noise]);
}

/** √ᾱ_t·noise − √(1 − ᾱ_t)·sample: what a v_prediction model is trained to answer. */
export function velocity(
  sample: Float32Array,
  noise: Float32Array,
  alphaCumprod: number,
): Float32Array {
  const { alpha, sigma } = levelFromAlphaCumprod(alphaCumprod);
  return linearCombination([alpha, noise], [-sigma, sample]);
}

/** √((1 − ᾱ)/ᾱ): the noise's standard deviation where the signal's factor is one. */
export function sigmaFromAlphaCumprod(alphaCumprod: number): number {
  return sqrt32(f32(f32(1 - alphaCumprod) / alphaCumprod));
}
