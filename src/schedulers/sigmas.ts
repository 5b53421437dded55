import { z } from 'zod';
import { BookendError } from '../core/errors.ts';
import { f32 } from './float32.ts';
import { type NoiseSchedule, sigmaFromAlphaCumprod } from './noise-schedule.ts';
import { linspace } from './timesteps.ts';

/** The options that choose noise levels directly instead of through timesteps. */
export const sigmaOptions = {
  use_karras_sigmas: z.boolean().default(false),
  use_exponential_sigmas: z.boolean().default(false),
  use_beta_sigmas: z.literal(false).default(false),
  final_sigmas_type: z.enum(['zero', 'sigma_min']).default('zero'),
};

/** The ends of a Karras or exponential schedule, where they are not the given levels' own. */
export const sigmaRangeOptions = {
  sigma_min: z.number().positive().optional(),
  sigma_max: z.number().positive().optional(),
};

export interface SigmaRange {
  readonly sigma_min?: number;
  readonly sigma_max?: number;
}

/**
 * σ_t = √((1 − ᾱ_t)/ᾱ_t) of every training timestep, in float32. With a zero terminal SNR the last
 * one would be infinite; it is 2¹² instead, that of ᾱ = 2⁻²⁴, the smallest positive float16 number.
 */
export function trainingSigmas({ alphasCumprod }: NoiseSchedule): Float32Array {
  return alphasCumprod.map((alpha) => (alpha === 0 ? 2 ** 12 : sigmaFromAlphaCumprod(alpha)));
}

/** σ at a fractional timestep, linearly between its neighbours; float64. */
export function interpolateSigma(sigmas: Float32Array, timestep: number): number {
  const last = sigmas.length - 1;
  if (timestep >= last) return sigmas[last];
  const below = Math.floor(timestep);
  return (sigmas[below + 1] - sigmas[below]) * (timestep - below) + sigmas[below];
}

/**
 * Noise levels evenly spaced in σ^(1/7) (Karras et al., "Elucidating the Design Space of
 * Diffusion-Based Generative Models", 2022, equation 5).
 */
function karrasSigmas(max: number, min: number, count: number): number[] {
  const rho = 7;
  const [from, to] = [max ** (1 / rho), min ** (1 / rho)];
  return linspace(0, 1, count).map((ramp) => (from + ramp * (to - from)) ** rho);
}

/** Noise levels evenly spaced in log σ. */
function exponentialSigmas(max: number, min: number, count: number): number[] {
  return linspace(Math.log(max), Math.log(min), count).map(Math.exp);
}

export interface SigmaOptions {
  readonly use_karras_sigmas: boolean;
  readonly use_exponential_sigmas: boolean;
}

/** The noise levels that the options choose, if they do, from `max` down to `min`. */
export function chosenSigmas(
  options: SigmaOptions & SigmaRange,
  max: number,
  min: number,
  count: number,
): number[] | undefined {
  const [from, to] = [options.sigma_max ?? max, options.sigma_min ?? min];
  if (options.use_karras_sigmas && options.use_exponential_sigmas) {
    throw new BookendError(
      'unsupported',
      'The scheduler has both use_karras_sigmas and use_exponential_sigmas; set only one of them.',
    );
  }
  if (options.use_karras_sigmas) return karrasSigmas(from, to, count);
  if (options.use_exponential_sigmas) return exponentialSigmas(from, to, count);
  return undefined;
}

/**
 * The timestep, a fraction, whose log σ is the given level's, by linear interpolation between the
 * training timesteps; levels outside them give the first or last timestep.
 */
export function timestepOfSigma(sigma: number, logSigmas: Float32Array): number {
  const logSigma = Math.log(Math.max(sigma, 1e-10));
  let low = 0;
  while (low < logSigmas.length - 2 && logSigmas[low + 1] <= logSigma) low++;
  const span = f32(logSigmas[low] - logSigmas[low + 1]);
  const weight = Math.min(1, Math.max(0, (logSigmas[low] - logSigma) / span));
  return (1 - weight) * low + weight * (low + 1);
}

/** A sampler's noise levels, one more than its timesteps: the last is where the run ends. */
export interface SigmaPlan {
  readonly timesteps: readonly number[];
  readonly sigmas: Float32Array;
}

export function sigmaPlan(
  timesteps: readonly number[],
  sigmas: readonly number[],
  final: number,
): SigmaPlan {
  return { timesteps, sigmas: Float32Array.from([...sigmas, final]) };
}
