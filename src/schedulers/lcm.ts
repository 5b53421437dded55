import { z } from 'zod';
import { BookendError } from '../core/errors.ts';
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

const lcmOptions = z.object({
  ...noiseScheduleOptions,
  beta_start: z.number().default(0.00085),
  beta_end: z.number().default(0.012),
  beta_schedule: noiseScheduleOptions.beta_schedule.unwrap().default('scaled_linear'),
  ...predictionOption,
  ...rangeOptions,
  clip_sample: z.boolean().default(false),
  /** Into how many steps distillation divided the schedule; the run uses some of them. */
  original_inference_steps: z.int().min(1).default(50),
  timestep_scaling: z.number().positive().default(10),
});

type LcmOptions = z.infer<typeof lcmOptions>;

/** The standard deviation of the data that the boundary condition assumes. */
const SIGMA_DATA = 0.5;

/**
 * Latent consistency models (Luo et al., "Latent Consistency Models", 2023; multistep sampling as
 * in Song et al., "Consistency Models", 2023, algorithm 1). The model is distilled to answer with
 * the end of the trajectory, so each step jumps there and goes back to the next timestep s with
 * fresh noise; the last one stays:
 *
 *   x̂ = c_out·x̂_0 + c_skip·x_t,   x_s = √ᾱ_s·x̂ + √(1 − ᾱ_s)·z
 */
export function createLcm(json: SchedulerJson): Scheduler {
  return defineScheduler('lcm', parseOptions(lcmOptions, json, 'lcm'), planLcm);
}

function planLcm(config: LcmOptions, schedule: NoiseSchedule, request: CheckedPlan): RunParts {
  const { alphasCumprod } = schedule;
  const timesteps = distilledTimesteps(config, request.count);

  return {
    timesteps,
    initNoiseSigma: 1,
    step(modelOutput, index, sample, noise) {
      const level = levelFromAlphaCumprod(alphasCumprod[timesteps[index]]);
      const predicted = predictDenoised(config.prediction_type, modelOutput, sample, level);
      const denoised = limitDenoised(predicted, config, request.batchSize);
      const { skip, out } = boundaryFactors(timesteps[index] * config.timestep_scaling);
      const end = linearCombination([out, denoised], [skip, sample]);
      if (index + 1 === timesteps.length) return end;
      return addNoise(end, noise(sample.length), alphasCumprod[timesteps[index + 1]]);
    },
    addNoise: (sample, noise, index) => addNoise(sample, noise, alphasCumprod[timesteps[index]]),
  };
}

/** c_skip and c_out, which make the answer at time 0 the sample itself (Song et al., appendix C). */
function boundaryFactors(time: number): { skip: number; out: number } {
  const data = SIGMA_DATA ** 2;
  const power = f32(f32(f32(time) * f32(time)) + data);
  return { skip: f32(data / power), out: f32(f32(time) / sqrt32(power)) };
}

/** `count` of the distillation's timesteps, evenly spread by index, from the noisiest on. */
function distilledTimesteps(config: LcmOptions, count: number): number[] {
  const { num_train_timesteps: total, original_inference_steps: original } = config;
  const stride = Math.floor(total / original);
  if (stride < 1 || count > original) {
    throw new BookendError(
      'invalid-argument',
      `The lcm scheduler was asked for ${count} of ${original} original_inference_steps on ${total} training timesteps; ask for at most ${Math.min(original, total)}.`,
    );
  }
  const step = original / count;
  return Array.from({ length: count }, (_, i) => (original - Math.floor(i * step)) * stride - 1);
}
