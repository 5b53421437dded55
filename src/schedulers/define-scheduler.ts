import { BookendError } from '../core/errors.ts';
import {
  addNoise,
  createNoiseSchedule,
  type NoiseSchedule,
  type NoiseScheduleOptions,
} from './noise-schedule.ts';
import type { PredictionType } from './prediction.ts';
import {
  createRun,
  type PlanOptions,
  type RunParts,
  type Scheduler,
  type SchedulerName,
} from './scheduler.ts';

/** What every sampler's options have in common. */
export type CommonOptions = NoiseScheduleOptions & { readonly prediction_type: PredictionType };

/** Plan options with their defaults filled in. */
export type CheckedPlan = Required<PlanOptions> & { readonly count: number };

/**
 * Makes a Scheduler of what is particular to it: `plan` builds the parts of one run, given the
 * options and the noise schedule that all runs share.
 */
export function defineScheduler<Options extends CommonOptions>(
  name: SchedulerName,
  config: Options,
  plan: (config: Options, schedule: NoiseSchedule, request: CheckedPlan) => RunParts,
): Scheduler {
  const schedule = createNoiseSchedule(config);
  const numTrainTimesteps = config.num_train_timesteps;
  return {
    name,
    config,
    predictionType: config.prediction_type,
    numTrainTimesteps,
    noiseSchedule: schedule,
    plan(numInferenceSteps, options = {}) {
      const request = checkedPlan(name, numTrainTimesteps, numInferenceSteps, options);
      return createRun(plan(config, schedule, request), request.startStep);
    },
    addNoise(sample, noise, timestep) {
      checkRange('The timestep', timestep, 0, numTrainTimesteps - 1);
      return addNoise(sample, noise, schedule.alphasCumprod[timestep]);
    },
  };
}

function checkedPlan(
  name: SchedulerName,
  numTrainTimesteps: number,
  count: number,
  { startStep = 0, eta = 0, batchSize = 1 }: PlanOptions,
): CheckedPlan {
  checkRange('The number of inference steps', count, 1, numTrainTimesteps);
  checkRange('The start step', startStep, 0, numTrainTimesteps);
  checkRange('The batch size', batchSize, 1, Number.MAX_SAFE_INTEGER);
  if (eta !== 0 && name !== 'ddim') {
    throw new BookendError(
      'unsupported',
      `The ${name} scheduler was given eta = ${eta}, but only ddim has it; leave it out.`,
    );
  }
  if (!(eta >= 0 && eta <= 1)) {
    throw new BookendError('invalid-argument', `eta is ${eta}; pass a number from 0 to 1.`);
  }
  return { count, startStep, eta, batchSize };
}

function checkRange(what: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw new BookendError(
    'invalid-argument',
    `${what} is ${value}; pass a whole number from ${least} to ${most}.`,
  );
}
