import { BookendError } from '../core/errors.ts';
import type { SchedulerJson } from './config.ts';
import { createDdim } from './ddim.ts';
import { createDdpm } from './ddpm.ts';
import { createDpmSolver } from './dpm-solver.ts';
import { createEuler } from './euler.ts';
import { createEulerAncestral } from './euler-ancestral.ts';
import { createLcm } from './lcm.ts';
import { createPndm } from './pndm.ts';
import type { Scheduler, SchedulerName } from './scheduler.ts';
import { createUnipc } from './unipc.ts';

export { parseSchedulerJson, type SchedulerJson } from './config.ts';
export { type NoiseSchedule, velocity } from './noise-schedule.ts';
export type { PredictionType } from './prediction.ts';
export type {
  NoiseSource,
  PlanOptions,
  Scheduler,
  SchedulerName,
  SchedulerRun,
} from './scheduler.ts';

interface SchedulerEntry {
  /** The class that writes and reads this scheduler's configuration in diffusers. */
  readonly className: string;
  readonly create: (json: SchedulerJson) => Scheduler;
  /** Options that the name alone decides, whatever the model's configuration says. */
  readonly fixed: SchedulerJson;
}

const twoM = { algorithm_type: 'dpmsolver++', solver_order: 2 };

const schedulers: Readonly<Record<SchedulerName, SchedulerEntry>> = {
  ddim: { className: 'DDIMScheduler', create: createDdim, fixed: {} },
  ddpm: { className: 'DDPMScheduler', create: createDdpm, fixed: {} },
  pndm: { className: 'PNDMScheduler', create: createPndm, fixed: {} },
  euler: { className: 'EulerDiscreteScheduler', create: createEuler, fixed: {} },
  'euler-ancestral': {
    className: 'EulerAncestralDiscreteScheduler',
    create: createEulerAncestral,
    fixed: {},
  },
  'dpmpp-2m': {
    className: 'DPMSolverMultistepScheduler',
    create: createDpmSolver,
    fixed: { ...twoM, use_karras_sigmas: false },
  },
  'dpmpp-2m-karras': {
    className: 'DPMSolverMultistepScheduler',
    create: createDpmSolver,
    fixed: { ...twoM, use_karras_sigmas: true, use_exponential_sigmas: false },
  },
  unipc: { className: 'UniPCMultistepScheduler', create: createUnipc, fixed: {} },
  lcm: { className: 'LCMScheduler', create: createLcm, fixed: {} },
};

export const schedulerNames = Object.keys(schedulers) as readonly SchedulerName[];

/**
 * The scheduler that a model's scheduler_config.json describes. Throws `unsupported` for a class or
 * an option's value that is not there, `invalid-argument` for one that makes no sense.
 */
export function schedulerFromConfig(json: SchedulerJson): Scheduler {
  const className = json._class_name;
  const entry = Object.values(schedulers).find((candidate) => candidate.className === className);
  if (entry) return entry.create(json);
  const known = new Set(Object.values(schedulers).map((candidate) => candidate.className));
  throw new BookendError(
    'unsupported',
    `The model's scheduler is ${className ?? 'not named'}; supported are ${[...known].join(', ')}, or choose one of ${schedulerNames.join(', ')} in its place.`,
  );
}

/**
 * The scheduler of that name for the model whose scheduler_config.json is `base`: it takes over the
 * options that both have (noise schedule, prediction type, spacing …), and its own defaults for the
 * rest. Throws as `schedulerFromConfig` does.
 */
export function createScheduler(name: string, base: SchedulerJson): Scheduler {
  if (!isSchedulerName(name)) {
    throw new BookendError(
      'unsupported',
      `There is no scheduler '${name}'; choose one of ${schedulerNames.join(', ')}.`,
    );
  }
  const { create, fixed } = schedulers[name];
  return create({ ...base, ...fixed });
}

/**
 * `base` as Stable Diffusion models need it: latents are not pixels, so they are not clipped to
 * [−1, 1], and their training counts timesteps from 1. Older configurations say neither; diffusers'
 * Stable Diffusion pipelines set the same.
 */
export function latentSchedulerJson(base: SchedulerJson): SchedulerJson {
  return { ...base, clip_sample: false, steps_offset: 1 };
}

function isSchedulerName(name: string): name is SchedulerName {
  return Object.hasOwn(schedulers, name);
}
