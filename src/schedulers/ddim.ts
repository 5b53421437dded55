import { z } from 'zod';
import { parseOptions, type SchedulerJson } from './config.ts';
import { type CheckedPlan, defineScheduler } from './define-scheduler.ts';
import { f32, linearCombination, sqrt32 } from './float32.ts';
import { addNoise, type NoiseSchedule, noiseScheduleOptions } from './noise-schedule.ts';
import {
  levelFromAlphaCumprod,
  limitDenoised,
  predictDenoised,
  predictEpsilon,
  predictionOption,
  rangeOptions,
} from './prediction.ts';
import type { RunParts, Scheduler } from './scheduler.ts';
import { spacedTimesteps, timestepOptions } from './timesteps.ts';

const ddimOptions = z.object({
  ...noiseScheduleOptions,
  ...timestepOptions('leading'),
  ...predictionOption,
  ...rangeOptions,
  clip_sample: z.boolean().default(true),
  /** Whether the step after the last timestep is the clean image, or timestep 0. */
  set_alpha_to_one: z.boolean().default(true),
});

type DdimOptions = z.infer<typeof ddimOptions>;

/**
 * DDIM (Song, Meng and Ermon, "Denoising Diffusion Implicit Models", 2021). The model's answer at
 * x_t gives the clean sample x̂_0 and the noise ε̂; the next sample has the same two parts in the
 * proportion of its own timestep s (equations 12 and 16):
 *
 *   x_s = √ᾱ_s·x̂_0 + √(1 − ᾱ_s − σ²)·ε̂ + σ·z
 *   σ   = η·√((1 − ᾱ_s)/(1 − ᾱ_t))·√(1 − ᾱ_t/ᾱ_s)
 */
export function createDdim(json: SchedulerJson): Scheduler {
  return defineScheduler('ddim', parseOptions(ddimOptions, json, 'ddim'), planDdim);
}

function planDdim(config: DdimOptions, schedule: NoiseSchedule, request: CheckedPlan): RunParts {
  const { alphasCumprod } = schedule;
  const timesteps = spacedTimesteps(config, request.count);
  // s lies one stride below t, which for linspace spacing is not quite the next timestep.
  const stride = Math.floor(config.num_train_timesteps / request.count);
  const finalAlpha = config.set_alpha_to_one ? 1 : alphasCumprod[0];

  return {
    timesteps,
    initNoiseSigma: 1,
    step(modelOutput, index, sample, noise) {
      const from = timesteps[index];
      const to = from - stride;
      const alphaFrom = alphasCumprod[from];
      const alphaTo = to >= 0 ? alphasCumprod[to] : finalAlpha;
      const level = levelFromAlphaCumprod(alphaFrom);

      const predicted = predictDenoised(config.prediction_type, modelOutput, sample, level);
      const denoised = limitDenoised(predicted, config, request.batchSize);
      const epsilon = predictEpsilon(config.prediction_type, modelOutput, sample, level);

      const deviation = f32(f32(request.eta) * sqrt32(ddimVariance(alphaFrom, alphaTo)));
      const direction = sqrt32(f32(f32(1 - alphaTo) - f32(deviation * deviation)));
      const mean = linearCombination([sqrt32(alphaTo), denoised], [direction, epsilon]);
      if (request.eta === 0) return mean;
      return linearCombination([1, mean], [deviation, noise(sample.length)]);
    },
    addNoise: (sample, noise, index) => addNoise(sample, noise, alphasCumprod[timesteps[index]]),
  };
}

/** (1 − ᾱ_s)/(1 − ᾱ_t)·(1 − ᾱ_t/ᾱ_s): the variance of DDPM's step, which is η = 1. */
function ddimVariance(alphaFrom: number, alphaTo: number): number {
  const ratio = f32(f32(1 - alphaTo) / f32(1 - alphaFrom));
  return f32(ratio * f32(1 - f32(alphaFrom / alphaTo)));
}
