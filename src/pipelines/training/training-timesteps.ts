import { BookendError } from '../../core/errors.ts';
import { resolveSchedule } from '../../quantization/precision-schedule.ts';
import type { Scheduler } from '../../schedulers/index.ts';
import {
  allTimesteps,
  type TimestepRange,
  timestepsOfEvaluations,
} from '../../training/timestep-sampling.ts';
import { noiseLevels, precisionSchedule } from '../precision-plan.ts';
import { type PrecisionOptions, requireWhole } from '../request.ts';

/** Which timesteps a quantized U-Net is trained at. */
export interface TimestepChoice {
  /** `int8`, the default: those of the steps that will run in INT8; `all`: every one. */
  readonly timesteps?: 'int8' | 'all';
  /** How images will be made; by default in mixed precision with its default number of steps. */
  readonly use?: PrecisionOptions;
  /** Denoising steps of an image, 50 by default. */
  readonly inferenceSteps?: number;
}

/** @throws BookendError `invalid-argument` for a schedule without INT8, or one that is not fixed */
export function trainingTimesteps(scheduler: Scheduler, choice: TimestepChoice): TimestepRange[] {
  const { timesteps: kind = 'int8', use = { precision: 'mixed' }, inferenceSteps = 50 } = choice;
  const { numTrainTimesteps } = scheduler;
  if (kind === 'all') return allTimesteps(numTrainTimesteps);
  const schedule = precisionSchedule(use);
  if (schedule.kind === 'auto') {
    throw new BookendError(
      'invalid-argument',
      "Training needs to know which steps will run in INT8, and precision 'auto' decides that later; use mixed or a schedule, or train at all timesteps.",
    );
  }
  const steps = requireWhole('inferenceSteps', inferenceSteps, 1, 1000);
  const { timesteps } = scheduler.plan(steps);
  const precisions = resolveSchedule(schedule, noiseLevels(scheduler, timesteps));
  const chosen = precisions.map((precision) => precision === 'int8');
  return timestepsOfEvaluations(timesteps, chosen, numTrainTimesteps);
}
