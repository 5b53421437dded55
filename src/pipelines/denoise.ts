import { throwIfAborted } from '../core/errors.ts';
import type { SchedulerRun } from '../schedulers/scheduler.ts';
import type { Conditioning, Denoiser } from './denoiser.ts';
import type { ImageNoise, LatentShape } from './latents.ts';
import type { Precision, StepEnd } from './request.ts';
import { startStopwatch } from './stopwatch.ts';

/** Everything a denoising loop needs; the latents are those of its first step. */
export interface DenoiseTask {
  readonly latents: Float32Array;
  readonly shape: LatentShape;
  readonly run: SchedulerRun;
  readonly conditioning: Conditioning;
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

/** The loop of every text-guided pipeline: predict, guide, step. */
export async function denoise(denoiser: Denoiser, task: DenoiseTask): Promise<DenoiseResult> {
  const { shape, run, conditioning, noise, schedule, signal } = task;
  const steps = run.timesteps.length;
  const seconds: number[] = [];
  let latents = task.latents;
  await denoiser.prepare(shape, conditioning);
  for (const [step, timestep] of run.timesteps.entries()) {
    throwIfAborted(signal);
    const elapsed = startStopwatch();
    const input = run.scaleModelInput(latents, step);
    const modelOutput = await denoiser.predict(input, shape, timestep, conditioning, signal);
    latents = run.step(modelOutput, step, latents, noise.draw);
    latents = task.afterStep?.(latents, step) ?? latents;
    seconds.push(elapsed());
    task.onStepEnd?.({
      step,
      steps,
      timestep,
      precision: schedule[step],
      seconds: seconds[step],
      latents,
    });
  }
  return { latents, seconds };
}
