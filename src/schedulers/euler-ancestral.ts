import { z } from 'zod';
import { parseOptions, type SchedulerJson } from './config.ts';
import { type CheckedPlan, defineScheduler } from './define-scheduler.ts';
import { eulerParts, eulerStep, eulerTimesteps } from './euler-steps.ts';
import { f32, linearCombination, sqrt32 } from './float32.ts';
import { type NoiseSchedule, noiseScheduleOptions } from './noise-schedule.ts';
import type { RunParts, Scheduler } from './scheduler.ts';
import { interpolateSigma, sigmaPlan, trainingSigmas } from './sigmas.ts';
import { timestepOptions } from './timesteps.ts';

const eulerAncestralOptions = z.object({
  ...noiseScheduleOptions,
  ...timestepOptions('linspace'),
  prediction_type: z.enum(['epsilon', 'v_prediction']).default('epsilon'),
});

type EulerAncestralOptions = z.infer<typeof eulerAncestralOptions>;

/**
 * Euler's method with DDPM's noise: a step from σ to σ' goes down past it, to σ_down, and adds as
 * much noise as leads back, so that σ_down² + σ_up² = σ'² (Song et al., "Score-Based Generative
 * Modeling through Stochastic Differential Equations", 2021, appendix F, ancestral sampling for the
 * variance-exploding form):
 *
 *   σ_up² = σ'²·(σ² − σ'²)/σ²
 */
export function createEulerAncestral(json: SchedulerJson): Scheduler {
  const config = parseOptions(eulerAncestralOptions, json, 'euler-ancestral');
  return defineScheduler('euler-ancestral', config, planEulerAncestral);
}

function planEulerAncestral(
  config: EulerAncestralOptions,
  schedule: NoiseSchedule,
  request: CheckedPlan,
): RunParts {
  const training = trainingSigmas(schedule);
  const timesteps = eulerTimesteps(config, request);
  const interpolated = timesteps.map((timestep) => interpolateSigma(training, timestep));
  const plan = sigmaPlan(timesteps, interpolated, 0);
  const { sigmas } = plan;

  return eulerParts(plan, config, (modelOutput, index, sample, noise) => {
    const [sigma, next] = [sigmas[index], sigmas[index + 1]];
    const { up, down } = splitSigma(sigma, next);
    const moved = eulerStep(config.prediction_type, modelOutput, sample, sigma, down);
    // Drawn for the last step too, where σ_up is 0, as the reference does: a generator that goes on
    // to another image is then in the same state.
    return linearCombination([1, moved], [up, noise(sample.length)]);
  });
}

function splitSigma(sigma: number, next: number): { up: number; down: number } {
  const [square, nextSquare] = [f32(sigma * sigma), f32(next * next)];
  const up = sqrt32(f32(f32(nextSquare * f32(square - nextSquare)) / square));
  return { up, down: sqrt32(f32(nextSquare - f32(up * up))) };
}
