import { throwIfAborted } from '../core/errors.ts';
import { startStopwatch } from '../core/stopwatch.ts';
import type { SchedulerRun } from '../schedulers/scheduler.ts';
import type { ImageNoise } from './latents.ts';
import type { Precision, StepEnd } from './request.ts';

/** Everything a denoising loop needs; the latents are those of its first step. */
export interface DenoiseTask {
  readonly latents: Float32Array;
  /** The network, guidance included: model output for a sample that the scheduler has scaled. */
  readonly predict: (sample: Float32Array, step: number) => Promise<Float32Array>;
  readonly run: SchedulerRun;
  readonly noise: ImageNoise;
  /** One per model evaluation. */
  readonly schedule: readonly Precision[];
  /** Changes the sample after a step: inpainting puts the known part back. */
  readonly afterStep?: (sample: Float32Array, step: number) => Float32Array;
  readonly onStepEnd?: (event: StepEnd) => void;
  readonly signal?: AbortSignal;
}

export interface DenoiseResult {
  readonly latents: Float32Array;
  /** Of each model evaluation, guidance and scheduler included. */
  readonly seconds: readonly number[];
}

/** The loop of every pipeline: predict, step. */
export async function denoise(task: DenoiseTask): Promise<DenoiseResult> {
  const { run, noise, schedule } = task;
  const steps = run.timesteps.length;
  const seconds: number[] = [];
  let latents = task.latents;
  for (const [step, timestep] of run.timesteps.entries()) {
    throwIfAborted(task.signal);
    const elapsed = startStopwatch();
    const modelOutput = await task.predict(run.scaleModelInput(latents, step), step);
    latents = run.step(modelOutput, step, latents, noise.draw);
    latents = task.afterStep?.(latents, step) ?? latents;
    seconds.push(elapsed());
    const precision = schedule[step];
    task.onStepEnd?.({ step, steps, timestep, precision, seconds: seconds[step], latents });
  }
  return { latents, seconds };
}
