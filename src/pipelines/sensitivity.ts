import { BookendError } from '../core/errors.ts';
import type { NoiseLevels, Precision } from '../quantization/precision-schedule.ts';
import {
  combinedError,
  coveredAngles,
  errorOfPsnr,
  fitExponent,
  type PrecisionSensitivity,
  psnrOfError,
} from '../quantization/sensitivity.ts';
import { createScheduler, type Scheduler } from '../schedulers/index.ts';
import { bestPrecision } from './cpu-precision.ts';
import { denoise } from './denoise.ts';
import { ImageNoise } from './latents.ts';
import { noiseLevels } from './precision-plan.ts';
import { requireNumber, requireWhole } from './request.ts';
import {
  type Predict,
  promptedSubject,
  type Subject,
  unconditionalSubject,
} from './sensitivity-subject.ts';
import type { StableDiffusion } from './stable-diffusion.ts';
import type { UnconditionalDiffusion } from './unconditional.ts';

export interface SensitivityRequest {
  /**
   * One at least; the more, the nearer to the average prompt. An unconditional model draws as many
   * images and does not read them.
   */
  readonly prompts: readonly string[];
  /** Of each run, 20 by default; what is found holds for other numbers too. */
  readonly steps?: number;
  /** Into how many blocks to cut a run, each of which is then tried in INT8; 8 by default. */
  readonly blocks?: number;
  /** 7.5 by default. */
  readonly guidanceScale?: number;
  /** Prompt i starts from the noise of seed + i; 0 by default. */
  readonly seed?: number;
  /** Pixels; the model's own size by default. */
  readonly width?: number;
  readonly height?: number;
  /** Told after every model evaluation. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** A request with its defaults filled in, and what follows from it. */
interface Measurement {
  readonly subject: Subject;
  readonly scheduler: Scheduler;
  readonly timesteps: readonly number[];
  /** The last steps first, which matter most: short blocks there. */
  readonly blocks: readonly Block[];
  readonly evaluated: () => void;
  readonly signal: AbortSignal | undefined;
}

/** Steps `first` to `last` of a run, both included. */
interface Block {
  readonly first: number;
  readonly last: number;
}

/** dB against the image without INT8. */
interface PromptResult {
  /** With that block of steps in INT8. */
  readonly blocks: readonly number[];
  /** Without INT8, from noise that differs beyond what can be seen. */
  readonly floor: number;
  /** With all steps in INT8. */
  readonly int8: number;
}

/** DDIM makes no noise of its own and remembers nothing, so that a run can go on from any step. */
const SCHEDULER = 'ddim';

/** How much the start of a run is disturbed to find the floor, beside noise of deviation 1. */
const DISTURBANCE = 1e-3;

/** Images alike to the last bit count as this good: below it lie the roundings of high precision. */
const BEST_PSNR = 150;

/**
 * Measures what INT8 costs a quantized model at each part of a run. For every prompt: a run in high
 * precision whose latents are kept; from some of them on, a block of steps in INT8 and the rest in
 * high precision; a run wholly in INT8, which tells how the errors of several steps add up; and one
 * in high precision from a start that differs a little, since high precision rounds as well, and
 * what differs at all comes to differ by as much. That takes about 6 · steps model evaluations.
 *
 * @throws BookendError `invalid-argument` for a model without INT8 or options out of range;
 * `unsupported` for models that only inpaint; `aborted`
 */
export async function measureSensitivity(
  model: StableDiffusion | UnconditionalDiffusion,
  request: SensitivityRequest,
): Promise<PrecisionSensitivity> {
  const measurement = plan(model, request);
  const { subject, timesteps, blocks } = measurement;
  const seed = requireWhole('seed', request.seed ?? 0, 0, Number.MAX_SAFE_INTEGER / 2);
  const results: PromptResult[] = [];
  for (const [i, prompt] of request.prompts.entries()) {
    results.push(await measurePrompt(measurement, prompt, seed + i));
  }
  return summarize(noiseLevels(measurement.scheduler, timesteps), blocks, results, {
    scheduler: SCHEDULER,
    steps: timesteps.length,
    guidanceScale: subject.guidanceScale,
    width: subject.width,
    height: subject.height,
    prompts: request.prompts.length,
  });
}

function plan(
  model: StableDiffusion | UnconditionalDiffusion,
  request: SensitivityRequest,
): Measurement {
  const { prompts, onProgress, signal } = request;
  if (prompts.length === 0) {
    throw new BookendError(
      'invalid-argument',
      'There is no prompt to measure the sensitivity with; give at least one.',
    );
  }
  const guidanceScale = requireNumber('guidanceScale', request.guidanceScale ?? 7.5, 0, 1000);
  const options = { ...request, guidanceScale };
  const subject =
    'denoiser' in model ? promptedSubject(model, options) : unconditionalSubject(model, options);
  ('denoiser' in model ? model.denoiser.unet : model.unet).requireInt8();
  const steps = requireWhole('steps', request.steps ?? 20, 2, 1000);
  const blocks = cut(steps, requireWhole('blocks', request.blocks ?? Math.min(8, steps), 2, steps));
  const scheduler = createScheduler(SCHEDULER, subject.schedulerConfig);
  const rest = blocks.reduce((sum, { first }) => sum + steps - first, 0);
  const total = prompts.length * (3 * steps + rest);
  let done = 0;
  return {
    subject,
    scheduler,
    timesteps: scheduler.plan(steps).timesteps,
    blocks,
    evaluated: () => onProgress?.(++done, total),
    signal,
  };
}

/** Lengths grow from 1 towards the start like a geometric series. */
function cut(steps: number, count: number): Block[] {
  const blocks: Block[] = [];
  let end = 0;
  for (let i = 0; i < count; i++) {
    const begin = Math.max(end + 1, Math.round(steps ** (i / (count - 1))));
    blocks.push({ first: steps - begin, last: steps - 1 - end });
    end = begin;
  }
  return blocks;
}

async function measurePrompt(
  measurement: Measurement,
  prompt: string,
  seed: number,
): Promise<PromptResult> {
  const { subject, timesteps, blocks } = measurement;
  // Every step in both precisions, so that each run picks what it needs.
  const both = {
    timesteps: [...timesteps, ...timesteps],
    schedule: [
      ...timesteps.map((): Precision => bestPrecision()),
      ...timesteps.map((): Precision => 'int8'),
    ],
  };
  return subject.use(both, prompt, async (predict) => {
    const noise = new ImageNoise([seed], subject.shape);
    const finish = (latents: Float32Array, first: number, isInt8: (step: number) => boolean) =>
      finishRun(measurement, predict, noise, { latents, first, isInt8 });

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
interface Continuation {
  /** The sample of step `first`. */
  readonly latents: Float32Array;
  readonly first: number;
  readonly isInt8: (step: number) => boolean;
}

/** The samples of a run from step `first` on: that of each step, and at the end the result. */
async function finishRun(
  { scheduler, timesteps, evaluated, signal }: Measurement,
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

/** Averages dB over the prompts, as PSNR is reported. */
function summarize(
  sigmas: NoiseLevels,
  blocks: readonly Block[],
  results: readonly PromptResult[],
  conditions: PrecisionSensitivity['conditions'],
): PrecisionSensitivity {
  const meanError = (of: (result: PromptResult) => number) =>
    errorOfPsnr(results.reduce((sum, result) => sum + of(result), 0) / results.length);
  const floor = meanError((result) => result.floor);
  const int8 = meanError((result) => result.int8);
  const beyondFloor = (error: number) => Math.sqrt(Math.max(0, error ** 2 - floor ** 2));
  const errors = blocks.map(({ last }, i) => {
    const error = meanError((result) => result.blocks[i]);
    // After the last step there is none left to round otherwise.
    return last === sigmas.length - 1 ? error : beyondFloor(error);
  });
  const total = beyondFloor(int8);
  const exponent = fitExponent(errors, total);
  // Where steps together do more harm than the sum of each: none may be foretold too little.
  const combined = combinedError(errors, exponent);
  const excess = combined > 0 ? Math.max(1, total / combined) : 1;
  const angles = sigmas.map(Math.atan);
  const covered = coveredAngles(sigmas);
  const points = blocks.map(({ first, last }, i) => {
    const steps = last - first + 1;
    const within = <T>(values: readonly T[]) => values.slice(first, last + 1);
    const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
    const each = errors[i] / steps ** (1 / exponent);
    return {
      angle: sum(within(angles)) / steps,
      amplitude: (excess * each * steps) / sum(within(covered)),
    };
  });
  return {
    points: points.reverse(),
    exponent,
    floor,
    int8Psnr: psnrOfError(int8),
    conditions,
  };
}
