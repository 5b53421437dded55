import { BookendError } from '../../core/errors.ts';
import { hashText } from '../../io/file-hash.ts';
import {
  formatSchedule,
  type NoiseLevels,
  type Precision,
  resolveSchedule,
} from '../../quantization/precision-schedule.ts';
import { createScheduler, schedulerFromConfig } from '../../schedulers/index.ts';
import { type LoadedModel, unetOf } from '../load.ts';
import { noiseLevels, precisionSchedule } from '../precision-plan.ts';
import { type PrecisionOptions, requireWhole } from '../request.ts';
import type { SamplingSettings } from './image-set.ts';

export type SweepPrecision = Precision | 'mixed';

/** How the images of a sweep are drawn, but for the number of steps. */
export type SweepSampling = Omit<SamplingSettings, 'numInferenceSteps'>;

/** Which settings to try: all of them with each number of steps. */
export interface SweepGrid {
  readonly steps: readonly number[];
  /** FP32 is among them in any case, since the others are compared with it. */
  readonly precisions: readonly SweepPrecision[];
  /** k of `mixed`: first and last evaluations in high precision. */
  readonly highPrecisionSteps: readonly number[];
}

/** A number of steps and a precision for each of its model evaluations. */
export interface SweepPoint {
  readonly steps: number;
  /** `fp32`, `bf16`, `int8`, `mixed-k5`; `auto` for one that was chosen by the step sensitivity. */
  readonly name: string;
  readonly options: PrecisionOptions;
  readonly schedule: readonly Precision[];
  /** The folder of its images, in that of all images. */
  readonly folder: string;
}

export interface SweepPoints {
  /** By falling number of steps. */
  readonly points: readonly SweepPoint[];
  /** What was left out, and why. */
  readonly notes: readonly string[];
}

/**
 * The points of a grid. Of those with the same precision at every evaluation, the first one is kept.
 *
 * @throws BookendError `invalid-argument` for INT8 of a model that has none, for an empty grid and
 *   numbers out of range
 */
export function sweepPoints(
  model: LoadedModel['model'],
  grid: SweepGrid,
  sampling: SweepSampling,
): SweepPoints {
  requireSome('number of steps', grid.steps);
  requireSome('precision', grid.precisions);
  const settings = settingsOf(grid);
  if (usesInt8(grid.precisions)) unetOf(model).requireInt8();
  const points: SweepPoint[] = [];
  const notes: string[] = [];
  for (const steps of [...new Set(grid.steps)].sort((a, b) => b - a)) {
    const sigmas = runLevels(model, sampling, steps);
    const known = new Map<string, string>();
    for (const { name, options } of settings) {
      const chosen = precisionSchedule(options);
      // Only `auto` goes by more than the noise levels.
      if (chosen.kind === 'auto') continue;
      const schedule = resolveSchedule(chosen, sigmas);
      const same = known.get(formatSchedule(schedule));
      if (same !== undefined) {
        notes.push(`${name} is left out at ${steps} steps, where it is the same as ${same}.`);
        continue;
      }
      known.set(formatSchedule(schedule), name);
      points.push({ steps, name, options, schedule, folder: `${steps}-${name}` });
    }
  }
  return { points, notes };
}

/** Whether any of the precisions needs a quantized model. */
export function usesInt8(precisions: readonly SweepPrecision[]): boolean {
  return precisions.includes('int8') || precisions.includes('mixed');
}

/** A point of its own schedule; the folder's name tells schedules apart. */
export function scheduledPoint(
  steps: number,
  name: string,
  schedule: readonly Precision[],
): SweepPoint {
  const text = formatSchedule(schedule);
  const folder = `${steps}-${name}-${hashText(text).slice(0, 12)}`;
  const isUniform = new Set(schedule).size === 1;
  const options = isUniform ? { precision: schedule[0] } : { schedule: text };
  return { steps, name, options, schedule, folder };
}

/** σ at each model evaluation of a run. @throws BookendError as planning the run does */
export function runLevels(
  { schedulerConfig }: LoadedModel['model'],
  sampling: SweepSampling,
  steps: number,
): NoiseLevels {
  requireWhole('steps', steps, 1, 1000);
  const scheduler = sampling.scheduler
    ? createScheduler(sampling.scheduler, schedulerConfig)
    : schedulerFromConfig(schedulerConfig);
  return noiseLevels(scheduler, scheduler.plan(steps, { eta: sampling.eta ?? 0 }).timesteps);
}

type Setting = Pick<SweepPoint, 'name' | 'options'>;

function settingsOf({ precisions, highPrecisionSteps }: SweepGrid): Setting[] {
  return [...new Set<SweepPrecision>(['fp32', ...precisions])].flatMap((precision): Setting[] => {
    if (precision !== 'mixed') return [{ name: precision, options: { precision } }];
    requireSome('k for mixed precision', highPrecisionSteps);
    return [...new Set(highPrecisionSteps)].map((k) => ({
      name: `mixed-k${k}`,
      options: { precision, highPrecisionSteps: k },
    }));
  });
}

function requireSome(what: string, values: readonly unknown[]): void {
  if (values.length > 0) return;
  throw new BookendError('invalid-argument', `The sweep has no ${what}; name at least one.`);
}
