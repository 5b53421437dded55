import { z } from 'zod';
import { parseOptions, type SchedulerJson } from './config.ts';
import { type CheckedPlan, defineScheduler } from './define-scheduler.ts';
import { eulerParts, eulerStep, eulerTimesteps } from './euler-steps.ts';
import { f32 } from './float32.ts';
import { type NoiseSchedule, noiseScheduleOptions } from './noise-schedule.ts';
import { predictionOption } from './prediction.ts';
import type { RunParts, Scheduler } from './scheduler.ts';
import {
  chosenSigmas,
  interpolateSigma,
  type SigmaPlan,
  sigmaOptions,
  sigmaPlan,
  sigmaRangeOptions,
  timestepOfSigma,
  trainingSigmas,
} from './sigmas.ts';
import { timestepOptions } from './timesteps.ts';

const eulerOptions = z.object({
  ...noiseScheduleOptions,
  ...timestepOptions('linspace'),
  ...predictionOption,
  ...sigmaOptions,
  ...sigmaRangeOptions,
  interpolation_type: z.literal('linear').default('linear'),
  timestep_type: z.literal('discrete').default('discrete'),
});

type EulerOptions = z.infer<typeof eulerOptions>;

/**
 * Euler's method on the probability-flow ODE (Karras et al., 2022, algorithm 1 without its
 * second-order correction):
 *
 *   x_{i+1} = x_i + (σ_{i+1} − σ_i)·(x_i − x̂_0)/σ_i
 */
export function createEuler(json: SchedulerJson): Scheduler {
  return defineScheduler('euler', parseOptions(eulerOptions, json, 'euler'), planEuler);
}

function planEuler(config: EulerOptions, schedule: NoiseSchedule, request: CheckedPlan): RunParts {
  const plan = eulerSigmas(config, trainingSigmas(schedule), request);
  const { sigmas } = plan;
  return eulerParts(plan, config, (modelOutput, index, sample) =>
    eulerStep(config.prediction_type, modelOutput, sample, sigmas[index], sigmas[index + 1]),
  );
}

function eulerSigmas(
  config: EulerOptions,
  training: Float32Array,
  request: CheckedPlan,
): SigmaPlan {
  const timesteps = eulerTimesteps(config, request);
  const sigmas = timesteps.map((timestep) => interpolateSigma(training, timestep));
  const final = config.final_sigmas_type === 'zero' ? 0 : training[0];
  const chosen = chosenSigmas(config, sigmas[0], sigmas[sigmas.length - 1], request.count);
  if (chosen === undefined) return sigmaPlan(timesteps, sigmas, final);
  const logSigmas = training.map(Math.log);
  const fractions = chosen.map((sigma) => f32(timestepOfSigma(sigma, logSigmas)));
  return sigmaPlan(fractions, chosen, final);
}
