import type { CheckedPlan } from './define-scheduler.ts';
import { divide, f32, linearCombination, sqrt32 } from './float32.ts';
import { type PredictionType, predictDenoised } from './prediction.ts';
import type { RunParts } from './scheduler.ts';
import type { SigmaPlan } from './sigmas.ts';
import { type TimestepOptions, unroundedTimesteps } from './timesteps.ts';

/**
 * What the two Euler samplers share. They work on x = x_0 + σ·ε, the variance-preserving sample
 * times √(σ² + 1) (Karras et al., "Elucidating the Design Space of Diffusion-Based Generative
 * Models", 2022, where this is the "variance exploding" form).
 */
export function eulerParts(
  plan: SigmaPlan,
  options: TimestepOptions,
  step: RunParts['step'],
): RunParts {
  const { timesteps, sigmas } = plan;
  const largest = sigmas.reduce((most, sigma) => Math.max(most, sigma));
  return {
    timesteps,
    // Leading spacing starts below the noisiest timestep, where x_0 still has its share in x.
    initNoiseSigma: options.timestep_spacing === 'leading' ? deviation(largest) : largest,
    scaleModelInput: (sample, index) => divide(sample, deviation(sigmas[index])),
    step,
    addNoise: (sample, noise, index) => linearCombination([1, sample], [sigmas[index], noise]),
  };
}

/** The timesteps as the U-Net gets them: float32, and for `linspace` with fractions. */
export function eulerTimesteps(options: TimestepOptions, { count }: CheckedPlan): number[] {
  return unroundedTimesteps(options, count).map(f32);
}

/**
 * One Euler step from σ to `target` along dx/dσ = (x − x̂_0)/σ (equation 1 of the paper with
 * s(t) = 1, σ(t) = t).
 */
export function eulerStep(
  type: PredictionType,
  modelOutput: Float32Array,
  sample: Float32Array,
  sigma: number,
  target: number,
): Float32Array {
  const denoised = denoisedAt(type, modelOutput, sample, sigma);
  const slope = divide(linearCombination([1, sample], [-1, denoised]), sigma);
  return linearCombination([1, sample], [f32(target - sigma), slope]);
}

/** x̂_0; a velocity refers to the variance-preserving sample, x/√(σ² + 1). */
function denoisedAt(
  type: PredictionType,
  modelOutput: Float32Array,
  sample: Float32Array,
  sigma: number,
): Float32Array {
  if (type !== 'v_prediction') {
    return predictDenoised(type, modelOutput, sample, { alpha: 1, sigma });
  }
  const power = f32(f32(sigma * sigma) + 1);
  return linearCombination([f32(-sigma / sqrt32(power)), modelOutput], [1, divide(sample, power)]);
}

/** √(σ² + 1), the deviation of x for data of unit variance. */
function deviation(sigma: number): number {
  return sqrt32(f32(f32(sigma * sigma) + 1));
}
