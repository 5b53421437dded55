import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { quantizePostTraining } from '../../src/index.ts';
import {
  type QuantizationAwareOptions,
  quantizeWithTraining,
} from '../../src/pipelines/training/quantization-aware-training.ts';

/** What all arms share, so that nothing but the arm makes a difference. */
export interface Recipe {
  readonly steps: number;
  readonly batchSize: number;
  readonly learningRate: number;
  readonly rateSchedule: 'constant' | 'linear' | 'cosine';
  readonly warmupSteps: number;
  readonly emaDecay: number | null;
  readonly conditioningDropout: number;
  readonly scales: 'moving' | 'learned';
  /** Of calibration and trajectories, as the images are made. */
  readonly guidance: number;
  /** Sampling runs of the original model, for training without images. */
  readonly trajectories: number;
}

/** What one arm does otherwise than the others. */
export type Arm = { readonly name: string; readonly title: string } & (
  | { readonly kind: 'ptq' }
  | {
      readonly kind: 'qat';
      readonly data: 'images' | 'data-free';
      readonly distillation: number;
      readonly timesteps: 'int8' | 'all';
    }
);

export const ARMS: readonly Arm[] = [
  { name: 'ptq', title: 'post-training quantization', kind: 'ptq' },
  {
    ...{ name: 'no-distillation', title: 'QAT without distillation (λ = 0)' },
    ...{ kind: 'qat', data: 'images', distillation: 0, timesteps: 'all' },
  },
  {
    ...{ name: 'distillation', title: 'QAT with distillation (λ = 1)' },
    ...{ kind: 'qat', data: 'images', distillation: 1, timesteps: 'all' },
  },
  {
    ...{ name: 'schedule-aware', title: 'QAT with distillation, timesteps of mixed k=5' },
    ...{ kind: 'qat', data: 'images', distillation: 1, timesteps: 'int8' },
  },
  {
    ...{ name: 'teacher-only', title: 'QAT with distillation alone (λ = ∞), images' },
    ...{ kind: 'qat', data: 'images', distillation: Number.POSITIVE_INFINITY, timesteps: 'all' },
  },
  {
    ...{ name: 'data-free', title: 'QAT with distillation alone (λ = ∞), no images' },
    ...{ kind: 'qat', data: 'data-free', distillation: Number.POSITIVE_INFINITY, timesteps: 'all' },
  },
];

/** As scripts/qat/split.ts makes it, and folders for what is made. */
export interface Places {
  readonly model: string;
  readonly data: string;
  readonly out: string;
}

export const armFolder = ({ out }: Places, arm: Pick<Arm, 'name'>, seed: number) =>
  join(out, 'models', `${arm.name}-${seed}`);

/**
 * Makes the quantized model of an arm unless it is there, from where an interrupted call stopped.
 * Every arm of a seed begins with the same post-training quantization, of that seed. No held-out
 * prompt is read.
 *
 * @returns seconds of training steps done in this call
 */
export async function trainArm(
  arm: Arm,
  seed: number,
  recipe: Recipe,
  places: Places,
): Promise<number> {
  const folder = armFolder(places, arm, seed);
  if (existsSync(join(folder, 'model_index.json'))) return 0;
  const prompts = join(places.data, 'train-prompts.txt');
  const starting = { prompts, guidanceScale: recipe.guidance, seed };
  if (arm.kind === 'ptq') {
    // A thousand apart, so that the runs of one seed are not those of the next.
    await quantizePostTraining(places.model, folder, {
      ...{ ...starting, seed: 1000 * seed },
      sensitivityPrompts: 0,
    });
    return 0;
  }
  const start = armFolder(places, { name: 'ptq' }, seed);
  let seconds = 0;
  await quantizeWithTraining(start, folder, {
    ...starting,
    ...{ sensitivityPrompts: 0, resume: true },
    data: dataOf(arm, recipe, places),
    distillation: arm.distillation,
    timesteps: arm.timesteps,
    scales: { kind: recipe.scales },
    training: {
      ...{ steps: recipe.steps, batchSize: recipe.batchSize, learningRate: recipe.learningRate },
      ...{ rateSchedule: recipe.rateSchedule, warmupSteps: recipe.warmupSteps },
      ...{ emaDecay: recipe.emaDecay, conditioningDropout: recipe.conditioningDropout, seed },
    },
    onEvent: (event) => {
      if (event.kind !== 'step') return;
      seconds += event.seconds;
      if (event.step % 50 !== 0) return;
      const loss = event.loss.toExponential(2);
      process.stderr.write(`${arm.name}-${seed}: ${event.step}/${event.steps}, loss ${loss}\n`);
    },
  });
  return seconds;
}

function dataOf(
  { data }: Extract<Arm, { kind: 'qat' }>,
  recipe: Recipe,
  { data: folder, out }: Places,
): QuantizationAwareOptions['data'] {
  const cache = join(out, 'cache');
  if (data === 'images') return { kind: 'images', path: join(folder, 'images'), cache };
  return {
    ...{ kind: 'data-free', prompts: join(folder, 'train-prompts.txt'), cache },
    ...{ trajectories: recipe.trajectories, guidanceScale: recipe.guidance },
  };
}
