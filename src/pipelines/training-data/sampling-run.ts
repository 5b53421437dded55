import { elementCount } from '../../core/shape.ts';
import { floats, type Tensor, tensor } from '../../core/tensor.ts';
import type { Scheduler, SchedulerRun } from '../../schedulers/index.ts';
import type { SampleShape } from '../../training/dataset/training-samples.ts';
import { denoise } from '../denoise.ts';
import type { Denoiser } from '../denoiser.ts';
import { ImageNoise } from '../latents.ts';
import type { HighPrecision, StepEnd } from '../request.ts';
import type { UNet } from '../unet.ts';

/** How a model draws an image, all but what of. */
export interface SamplingSettings {
  readonly scheduler: Scheduler;
  readonly steps: number;
  readonly shape: SampleShape;
  readonly guidanceScale: number;
  readonly precision: HighPrecision;
}

export interface SamplingRun {
  readonly seed: number;
  /** Of the prompt, f32 [tokens, width]; models without a prompt take none. */
  readonly embeddings?: Tensor;
  readonly onStepEnd?: (event: StepEnd) => void;
  readonly signal?: AbortSignal;
}

/** What the U-Net read at each evaluation, [evaluations, height, width, channels]. */
export type RecordRun = (run: SamplingRun) => Promise<Tensor>;

/** Records runs of a model that follows a prompt. @param empty embeddings of the empty text */
export function promptedRuns(
  denoiser: Denoiser,
  empty: Tensor,
  settings: SamplingSettings,
): RecordRun {
  const { guidanceScale } = settings;
  const [tokens, width] = empty.shape;
  return async (run) => {
    const { plan, schedule, shape, noise } = begin(settings, run);
    const size = { shape, tokens, guidanceScale, timesteps: plan.timesteps, schedule };
    const texts = denoiser.guides(guidanceScale) ? [empty, run.embeddings!] : [run.embeddings!];
    const data = new Float32Array(texts.length * tokens * width);
    for (const [i, text] of texts.entries()) data.set(floats(text), i * tokens * width);
    const embeddings = { data, prompts: texts.length, tokens, width };
    return denoiser.use(size, async (unet) => {
      await unet.condition({ embeddings }, run.signal);
      const predict = (input: Float32Array, step: number) => unet.predict(input, step, run.signal);
      return record({ ...run, plan, schedule, noise, predict, shape: settings.shape });
    });
  };
}

/** Records runs of a model that draws pixels without a prompt. */
export function unconditionalRuns(network: UNet, settings: SamplingSettings): RecordRun {
  const [height, width] = settings.shape;
  const size = { batch: 1, height, width, tokens: 0 };
  return async (run) => {
    const { plan, schedule, noise } = begin(settings, run);
    const unet = await network.prepare({ size, timesteps: plan.timesteps, schedule });
    try {
      await unet.condition({}, run.signal);
      const predict = (input: Float32Array, step: number) =>
        unet.predict(tensor('f32', [1, ...settings.shape], input), step, run.signal);
      return await record({ ...run, plan, schedule, noise, predict, shape: settings.shape });
    } finally {
      unet.release();
    }
  };
}

function begin({ scheduler, steps, precision, ...settings }: SamplingSettings, run: SamplingRun) {
  const [height, width, channels] = settings.shape;
  const shape = { batch: 1, height, width, channels };
  const plan = scheduler.plan(steps, { batchSize: 1 });
  const schedule = plan.timesteps.map(() => precision);
  return { plan, schedule, shape, noise: new ImageNoise([run.seed], shape) };
}

interface Recording extends SamplingRun {
  readonly plan: SchedulerRun;
  readonly schedule: readonly HighPrecision[];
  readonly noise: ImageNoise;
  readonly predict: (input: Float32Array, step: number) => Promise<Float32Array>;
  readonly shape: SampleShape;
}

async function record({ plan, shape, predict, ...task }: Recording): Promise<Tensor> {
  const count = elementCount(shape);
  const seen = new Float32Array(plan.timesteps.length * count);
  await denoise({
    ...task,
    run: plan,
    latents: task.noise.draw().map((value) => value * plan.initNoiseSigma),
    predict: (input, step) => {
      seen.set(input, step * count);
      return predict(input, step);
    },
  });
  return tensor('f32', [plan.timesteps.length, ...shape], seen);
}
