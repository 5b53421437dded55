import { z } from 'zod';
import type { Precision } from '../quantization/precision-schedule.ts';
import { psnrOfError } from '../quantization/sensitivity.ts';
import type { Scheduler } from '../schedulers/index.ts';
import { bestPrecision } from './cpu-precision.ts';
import { denoise } from './denoise.ts';
import { ImageNoise } from './latents.ts';
import type { Predict, Subject, SubjectPlan } from './sensitivity-subject.ts';

/** DDIM makes no noise of its own and remembers nothing, so that a run can go on from any step. */
export const SENSITIVITY_SCHEDULER = 'ddim';

/** Runs of one model that differ in the precision of their steps alone. */
export interface ComparedRuns {
  readonly subject: Subject;
  readonly scheduler: Scheduler;
  readonly timesteps: readonly number[];
  /** Called after every model evaluation. */
  readonly evaluated: () => void;
  readonly signal: AbortSignal | undefined;
}

/** Steps `first` to `last` of a run, both included, counted from 0. */
export interface StepBlock {
  readonly first: number;
  readonly last: number;
}

const decibels = z.number().finite();

/** `PromptQuality` as JSON has it, of a run in so many blocks. */
export const promptQualitySchema = (blocks: number) =>
  z.object({ blocks: z.array(decibels).length(blocks), floor: decibels, int8: decibels });

/**
 * What INT8 did to one image, in dB against the image without INT8: with each block of steps in it,
 * with all steps in it, and (`floor`) without it, from noise that differs beyond what can be seen.
 */
export type PromptQuality = z.infer<ReturnType<typeof promptQualitySchema>>;

/** How much the start of a run is disturbed to find the floor, beside noise of deviation 1. */
const DISTURBANCE = 1e-3;

/** Images alike to the last bit count as this good: below it lie the roundings of high precision. */
const BEST_PSNR = 150;

/** A plan in which step i is evaluation i in high precision, and evaluation i + steps in INT8. */
export function bothPrecisions(timesteps: readonly number[]): SubjectPlan {
  return {
    timesteps: [...timesteps, ...timesteps],
    schedule: [
      ...timesteps.map((): Precision => bestPrecision()),
      ...timesteps.map((): Precision => 'int8'),
    ],
  };
}

export async function measurePrompt(
  runs: ComparedRuns,
  blocks: readonly StepBlock[],
  prompt: string,
  seed: number,
): Promise<PromptQuality> {
  const { subject, timesteps } = runs;
  return subject.use(bothPrecisions(timesteps), prompt, async (predict) => {
    const noise = new ImageNoise([seed], subject.shape);
    const finish = (latents: Float32Array, first: number, isInt8: (step: number) => boolean) =>
      finishRun(runs, predict, noise, { latents, first, isInt8 });

    // DDIM starts from noise of deviation 1.
    const start = noise.draw();
    const disturbed = noise.draw().map((value, i) => start[i] + DISTURBANCE * value);
    const kept = await finish(start, 0, () => false);
    const reference = await subject.pixels(kept[timesteps.length]);
    const quality = async (run: Promise<readonly Float32Array[]>) =>
      psnrBetween(await subject.pixels((await run).at(-1)!), reference);
    const found: number[] = [];
    for (const { first, last } of blocks) {
      found.push(await quality(finish(kept[first], first, (step) => step <= last)));
    }
    return {
      blocks: found,
      floor: await quality(finish(disturbed, 0, () => false)),
      int8: await quality(finish(start, 0, () => true)),
    };
  });
}

/** Where a run goes on. */
export interface Continuation {
  /** The sample of step `first`. */
  readonly latents: Float32Array;
  readonly first: number;
  readonly isInt8: (step: number) => boolean;
}

/**
 * The samples of a run from step `first` on: that of each step, and at the end the result.
 *
 * @param predict of the plan that `bothPrecisions` makes
 */
export async function finishRun(
  { scheduler, timesteps, evaluated, signal }: ComparedRuns,
  predict: Predict,
  noise: ImageNoise,
  { latents, first, isInt8 }: Continuation,
): Promise<readonly Float32Array[]> {
  const steps = timesteps.length;
  const samples = [latents];
  await denoise({
    latents,
    predict: (sample, i) => predict(sample, first + i + (isInt8(first + i) ? steps : 0)),
    run: scheduler.plan(steps, { startStep: first }),
    noise,
    schedule: timesteps.slice(first).map((_, i) => (isInt8(first + i) ? 'int8' : bestPrecision())),
    onStepEnd: ({ latents: sample }) => {
      samples.push(sample);
      evaluated();
    },
    signal,
  });
  return samples;
}

/** Of pixels from −1 to 1, clamped as images are but not rounded. */
function psnrBetween(pixels: Float32Array, reference: Float32Array): number {
  const clamp = (value: number) => Math.min(1, Math.max(-1, value));
  let squares = 0;
  for (const [i, value] of reference.entries()) squares += (clamp(pixels[i]) - clamp(value)) ** 2;
  return Math.min(psnrOfError(Math.sqrt(squares / reference.length) / 2), BEST_PSNR);
}
