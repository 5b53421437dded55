import { BookendError } from '../core/errors.ts';

/**
 * How the learning rate changes over the optimizer steps; pure data. It rises linearly from 0 over
 * `warmupSteps` and then
 *
 * - `constant`: stays;
 * - `linear`: falls in a straight line to 0 at `totalSteps`;
 * - `cosine`: falls along half a cosine to 0 at `totalSteps` (Loshchilov and Hutter, "SGDR", 2017,
 *   equation 5, one period without restarts).
 */
export type LearningRateSchedule =
  | { readonly kind: 'constant'; readonly warmupSteps: number }
  | {
      readonly kind: 'linear' | 'cosine';
      readonly warmupSteps: number;
      readonly totalSteps: number;
    };

/** @throws BookendError `invalid-argument` unless the numbers of steps fit together */
export function checkLearningRateSchedule(schedule: LearningRateSchedule): void {
  const { kind, warmupSteps } = schedule;
  const isCount = (x: number) => Number.isSafeInteger(x) && x >= 0;
  if (!isCount(warmupSteps)) {
    throw new BookendError(
      'invalid-argument',
      `The learning rate warms up over ${warmupSteps} steps; give a whole number of at least 0.`,
    );
  }
  if (kind === 'constant') return;
  const { totalSteps } = schedule;
  if (!isCount(totalSteps) || totalSteps <= warmupSteps) {
    throw new BookendError(
      'invalid-argument',
      `The ${kind} learning rate ends at step ${totalSteps} after ${warmupSteps} steps of warm-up; give a whole number of steps in all that is larger than the warm-up.`,
    );
  }
}

/**
 * The learning rate of an optimizer step.
 *
 * @param peak the rate after the warm-up
 * @param step from 0; with a warm-up the first step's rate is 0, as in diffusers
 */
export function learningRateAt(schedule: LearningRateSchedule, peak: number, step: number): number {
  const { kind, warmupSteps } = schedule;
  if (step < warmupSteps) return peak * (step / warmupSteps);
  if (kind === 'constant') return peak;
  const { totalSteps } = schedule;
  const progress = Math.min(1, (step - warmupSteps) / (totalSteps - warmupSteps));
  return peak * (kind === 'linear' ? 1 - progress : 0.5 * (1 + Math.cos(Math.PI * progress)));
}
