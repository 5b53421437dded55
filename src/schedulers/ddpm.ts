import { z } from 'zod';
import { parseOptions, type SchedulerJson } from './config.ts';
import { type CheckedPlan, defineScheduler } from './define-scheduler.ts';
import { f32, linearCombination, sqrt32 } from './float32.ts';
import { addNoise, type NoiseSchedule, noiseScheduleOptions } from './noise-schedule.ts';
import {
  levelFromAlphaCumprod,
  limitDenoised,
  predictDenoised,
  predictionOption,
  rangeOptions,
} from './prediction.ts';
import type { RunParts, Scheduler } from './scheduler.ts';
import { spacedTimesteps, timestepOptions } from './timesteps.ts';

export const varianceTypes = [
  'fixed_small',
  'fixed_small_log',
  'fixed_large',
  'fixed_large_log',
] as const;
type VarianceType = (typeof varianceTypes)[number];

const ddpmOptions = z.object({
  ...noiseScheduleOptions,
  ...timestepOptions('leading'),
  ...predictionOption,
  ...rangeOptions,
  clip_sample: z.boolean().default(true),
  variance_type: z.enum(varianceTypes).default('fixed_small'),
});

type DdpmOptions = z.infer<typeof ddpmOptions>;

/**
 * DDPM's ancestral sampling (Ho et al., "Denoising Diffusion Probabilistic Models", 2020, equation
 * 7), with t and s neighbouring timesteps of the plan, α = ᾱ_t/ᾱ_s and β = 1 − α:
 *
 *   x_s = √ᾱ_s·β/(1 − ᾱ_t)·x̂_0 + √α·(1 − ᾱ_s)/(1 − ᾱ_t)·x_t + deviation·z
 *
 * No noise is added at timestep 0.
 */
export function createDdpm(json: SchedulerJson): Scheduler {
  return defineScheduler('ddpm', parseOptions(ddpmOptions, json, 'ddpm'), planDdpm);
}

function planDdpm(config: DdpmOptions, schedule: NoiseSchedule, request: CheckedPlan): RunParts {
  const { alphasCumprod } = schedule;
  const timesteps = spacedTimesteps(config, request.count);

  return {
    timesteps,
    initNoiseSigma: 1,
    step(modelOutput, index, sample, noise) {
      const alphaFrom = alphasCumprod[timesteps[index]];
      const alphaTo = index + 1 < timesteps.length ? alphasCumprod[timesteps[index + 1]] : 1;
      const level = levelFromAlphaCumprod(alphaFrom);
      const predicted = predictDenoised(config.prediction_type, modelOutput, sample, level);
      const denoised = limitDenoised(predicted, config, request.batchSize);

      const alpha = f32(alphaFrom / alphaTo);
      const beta = f32(1 - alpha);
      const [noiseFrom, noiseTo] = [f32(1 - alphaFrom), f32(1 - alphaTo)];
      const mean = linearCombination(
        [f32(f32(sqrt32(alphaTo) * beta) / noiseFrom), denoised],
        [f32(f32(sqrt32(alpha) * noiseTo) / noiseFrom), sample],
      );
      if (timesteps[index] === 0) return mean;
      const posterior = f32(f32(noiseTo / noiseFrom) * beta);
      const deviation = standardDeviation(config.variance_type, posterior, beta);
      return linearCombination([1, mean], [deviation, noise(sample.length)]);
    },
    addNoise: (sample, noise, index) => addNoise(sample, noise, alphasCumprod[timesteps[index]]),
  };
}

/**
 * Ho et al., section 3.2: the posterior's variance (`small`) or β (`large`), the two extremes for
 * data of known and of unit variance. The `_log` types name models that were trained with the
 * logarithm of the same; the deviation is no other.
 */
function standardDeviation(type: VarianceType, posterior: number, beta: number): number {
  const large = type === 'fixed_large' || type === 'fixed_large_log';
  return sqrt32(large ? beta : Math.max(posterior, 1e-20));
}
