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
  readonly scales: 'held' | 'moving' | 'learned';
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

/** The first one is what the others begin with. */
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

/** Of post-training quantization there is one model, which every other one begins with. */
export const modelName = ({ name, kind }: Arm, seed: number) =>
  kind === 'ptq' ? name : `${name}-${seed}`;

export const modelFolder = ({ out }: Places, arm: Arm, seed: number) =>
  join(out, 'models', modelName(arm, seed));

/**
 * Makes the quantized model of an arm unless it is there, from where an interrupted call stopped. No
 * held-out prompt is read.
 *
 * @returns seconds of training steps done in this call
 */
export async function trainArm(
  arm: Arm,
  seed: number,
  recipe: Recipe,
  places: Places,
): Promise<number> {
  const folder = modelFolder(places, arm, seed);
  if (existsSync(join(folder, 'model_index.json'))) return 0;
  const prompts = join(places.data, 'train-prompts.txt');
  const starting = { prompts, guidanceScale: recipe.guidance, sensitivityPrompts: 0 };
  if (arm.kind === 'ptq') {
    await quantizePostTraining(places.model, folder, starting);
    return 0;
  }
  let seconds = 0;
  await quantizeWithTraining(modelFolder(places, ARMS[0], seed), folder, {
    ...starting,
    resume: true,
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
