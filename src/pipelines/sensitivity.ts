import { BookendError } from '../core/errors.ts';
import type { Precision } from '../quantization/precision-schedule.ts';
import {
  combinedError,
  coveredTimesteps,
  errorOfPsnr,
  fitExponent,
  type PrecisionSensitivity,
  psnrOfError,
  stepErrors,
} from '../quantization/sensitivity.ts';
import { createScheduler, type Scheduler } from '../schedulers/index.ts';
import { bestPrecision } from './cpu-precision.ts';
import { denoise } from './denoise.ts';
import type { DenoiserRun } from './denoiser.ts';
import { ImageNoise, type LatentShape } from './latents.ts';
import { requireNumber, requireWhole } from './request.ts';
import { latentShape, requirePlainModel, type StableDiffusion } from './stable-diffusion.ts';

export interface SensitivityRequest {
  /** One at least; the more, the nearer to the average prompt. */
  readonly prompts: readonly string[];
  /** Of each run, 20 by default; what is found holds for other numbers too. */
  readonly steps?: number;
  /** At how many of the steps to probe, 8 by default. */
  readonly probes?: number;
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
  readonly scheduler: Scheduler;
  readonly timesteps: readonly number[];
  /** Indices of the steps that are probed, rising. */
  readonly probed: readonly number[];
  readonly shape: LatentShape;
  readonly guidanceScale: number;
  readonly evaluated: () => void;
  readonly signal: AbortSignal | undefined;
}

/** dB against the image without INT8. */
interface PromptResult {
  /** With the one step in INT8, for each of `probed`. */
  readonly probes: readonly number[];
  /** With all steps in INT8. */
  readonly int8: number;
}

/** DDIM makes no noise of its own and remembers nothing, so that a run can go on from any step. */
const SCHEDULER = 'ddim';

/** Images alike to the last bit count as this good: below it lie the roundings of high precision. */
const BEST_PSNR = 150;

/**
 * Measures what INT8 costs a quantized model at each part of a run. For every prompt: a run in high
 * precision whose latents are kept; from some of them, one step in INT8 and the rest of the run in
 * high precision; and a run wholly in INT8, which tells how the errors of several steps add up.
 * Takes about steps · (2 + probes / 2) model evaluations a prompt.
 *
 * @throws BookendError `invalid-argument` for a model without INT8 or options out of range;
 * `unsupported` for models that only inpaint; `aborted`
 */
export async function measureSensitivity(
  model: StableDiffusion,
  request: SensitivityRequest,
): Promise<PrecisionSensitivity> {
  requirePlainModel(model);
  model.denoiser.unet.requireInt8();
  const measurement = plan(model, request);
  const { timesteps, probed, shape, guidanceScale } = measurement;
  const seed = requireWhole('seed', request.seed ?? 0, 0, Number.MAX_SAFE_INTEGER / 2);
  const results: PromptResult[] = [];
  for (const [i, prompt] of request.prompts.entries()) {
    results.push(await measurePrompt(model, measurement, prompt, seed + i));
  }
  const { downscale } = model.autoencoder.config;
  return summarize(timesteps, probed, results, {
    scheduler: SCHEDULER,
    steps: timesteps.length,
    guidanceScale,
    width: shape.width * downscale,
    height: shape.height * downscale,
    prompts: request.prompts.length,
  });
}

function plan(model: StableDiffusion, request: SensitivityRequest): Measurement {
  const { prompts, width, height, onProgress, signal } = request;
  if (prompts.length === 0) {
    throw new BookendError(
      'invalid-argument',
      'There is no prompt to measure the sensitivity with; give at least one.',
    );
  }
  const steps = requireWhole('steps', request.steps ?? 20, 2, 1000);
  const probes = requireWhole('probes', Math.min(request.probes ?? 8, steps), 2, steps);
  const scheduler = createScheduler(SCHEDULER, model.schedulerConfig);
  const probed = Array.from({ length: probes }, (_, i) =>
    Math.round((i * (steps - 1)) / (probes - 1)),
  );
  const rest = probed.reduce((sum, step) => sum + steps - step, 0);
  const total = prompts.length * (2 * steps + rest);
  let done = 0;
  return {
    scheduler,
    timesteps: scheduler.plan(steps).timesteps,
    probed,
    shape: latentShape(model, 1, width, height),
    guidanceScale: requireNumber('guidanceScale', request.guidanceScale ?? 7.5, 0, 1000),
    evaluated: () => onProgress?.(++done, total),
    signal,
  };
}

async function measurePrompt(
  model: StableDiffusion,
  measurement: Measurement,
  prompt: string,
  seed: number,
): Promise<PromptResult> {
  const { timesteps, probed, shape, guidanceScale, signal } = measurement;
  const { denoiser, textEncoder, autoencoder } = model;
  const positive = { text: prompt, clipSkip: 0 };
  const negative = { text: '', clipSkip: 0 };
  const guided = denoiser.guides(guidanceScale);
  const tokenized = textEncoder.tokenize(guided ? [negative, positive] : [positive]);
  // Every step in both precisions, so that each run picks what it needs.
  const plan = {
    shape,
    tokens: tokenized.tokens,
    guidanceScale,
    timesteps: [...timesteps, ...timesteps],
    schedule: (['high', 'int8'] as const).flatMap((kind) =>
      timesteps.map((): Precision => (kind === 'high' ? bestPrecision() : 'int8')),
    ),
  };
  return denoiser.use(plan, async (unet) => {
    await unet.condition({ embeddings: await textEncoder.encode(tokenized, signal) }, signal);
    const noise = new ImageNoise([seed], shape);
    const finish = (latents: Float32Array, first: number, isInt8: (step: number) => boolean) =>
      finishRun(unet, measurement, noise, { latents, first, isInt8 });
    const pixels = async (latents: Float32Array) =>
      (await autoencoder.decode(latents, shape, { signal })).data;

    const kept = await finish(noise.draw(), 0, () => false);
    const reference = await pixels(kept[timesteps.length]);
    const quality = async (run: Promise<readonly Float32Array[]>) =>
      psnrBetween(await pixels((await run).at(-1)!), reference);
    const probes: number[] = [];
    for (const step of probed) {
      probes.push(await quality(finish(kept[step], step, (other) => other === step)));
    }
    return { probes, int8: await quality(finish(kept[0], 0, () => true)) };
  });
}

/** The samples of a run from step `first` on: that of each step, and at the end the result. */
async function finishRun(
  unet: DenoiserRun,
  { scheduler, timesteps, evaluated, signal }: Measurement,
  noise: ImageNoise,
  {
    latents,
    first,
    isInt8,
  }: { latents: Float32Array; first: number; isInt8: (step: number) => boolean },
): Promise<readonly Float32Array[]> {
  const steps = timesteps.length;
  const run = scheduler.plan(steps, { startStep: first });
  const start = first === 0 ? latents.map((value) => value * run.initNoiseSigma) : latents;
  const samples = [start];
  await denoise({
    latents: start,
    predict: (sample, i) =>
      unet.predict(sample, first + i + (isInt8(first + i) ? steps : 0), signal),
    run,
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
  timesteps: readonly number[],
  probed: readonly number[],
  results: readonly PromptResult[],
  conditions: PrecisionSensitivity['conditions'],
): PrecisionSensitivity {
  const mean = (of: (result: PromptResult) => number) =>
    results.reduce((sum, result) => sum + of(result), 0) / results.length;
  const covered = coveredTimesteps(timesteps);
  const points = probed.map((step, i) => ({
    timestep: timesteps[step],
    amplitude: errorOfPsnr(mean(({ probes }) => probes[i])) / covered[step],
  }));
  const int8Psnr = mean(({ int8 }) => int8);
  const measured = errorOfPsnr(int8Psnr);
  const errors = stepErrors({ points, exponent: 1, int8Psnr, conditions }, timesteps);
  const exponent = fitExponent(errors, measured);
  // Steps that together do more harm than each for itself: none may be foretold too little.
  const excess = Math.max(1, measured / combinedError(errors, exponent));
  return {
    points: points.map(({ timestep, amplitude }) => ({
      timestep,
      amplitude: amplitude * excess,
    })),
    exponent,
    int8Psnr,
    conditions,
  };
}
