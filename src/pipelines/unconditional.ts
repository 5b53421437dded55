import { BookendError } from '../core/errors.ts';
import { startStopwatch } from '../core/stopwatch.ts';
import { tensor } from '../core/tensor.ts';
import type { UNet2DConfig } from '../models/unet-2d-config.ts';
import type { PrecisionSensitivity } from '../quantization/sensitivity.ts';
import { peakMemory } from '../runtime/native/memory.ts';
import type { SchedulerJson } from '../schedulers/config.ts';
import { createScheduler, schedulerFromConfig } from '../schedulers/index.ts';
import { denoise } from './denoise.ts';
import { ImageNoise } from './latents.ts';
import { precisionSchedule, resolvePrecision } from './precision-plan.ts';
import {
  type GenerationResult,
  type PrecisionOptions,
  type RunRequest,
  requireNumber,
  requireWhole,
  seedsOf,
} from './request.ts';
import { imagesOf } from './stable-diffusion.ts';
import type { UNet } from './unet.ts';

/** A pixel-space diffusion model without a prompt (DDPM, DDIM). */
export interface UnconditionalDiffusion {
  readonly origin: string;
  /** What it was loaded with, for requests that do not say. */
  readonly precisionOptions: PrecisionOptions;
  /** Of a quantized model, where it was measured. */
  readonly sensitivity?: PrecisionSensitivity;
  readonly config: UNet2DConfig;
  readonly unet: UNet;
  readonly schedulerConfig: SchedulerJson;
  dispose(): Promise<void>;
}

/**
 * Draws images from an unconditional model (Ho et al., "Denoising Diffusion Probabilistic Models",
 * 2020, algorithm 2, or any other scheduler).
 *
 * @throws BookendError `invalid-argument`, `non-finite` or `aborted`
 */
export async function unconditional(
  model: UnconditionalDiffusion,
  request: RunRequest = {},
): Promise<GenerationResult> {
  const elapsed = startStopwatch();
  const { numInferenceSteps = 50, eta = 0, signal } = request;
  const steps = requireWhole('numInferenceSteps', numInferenceSteps, 1, 1000);
  const seeds = seedsOf(request);
  const precision = precisionSchedule(model.precisionOptions, request);
  const scheduler = request.scheduler
    ? createScheduler(request.scheduler, model.schedulerConfig)
    : schedulerFromConfig(model.schedulerConfig);
  const batch = seeds.length;
  const run = scheduler.plan(steps, { eta: requireNumber('eta', eta, 0, 1), batchSize: batch });
  const { height, width } = trainedSize(model);
  const size = { batch, height, width };
  const shape = { ...size, channels: model.config.inChannels };
  const noise = new ImageNoise(seeds, shape);
  const { timesteps } = run;
  const unetSize = { ...size, tokens: 0 };
  const { schedule, prediction } = await resolvePrecision(precision, scheduler, run, {
    origin: model.origin,
    sensitivity: model.sensitivity,
    requireInt8: () => model.unet.requireInt8(),
    measure: (timestep, wanted) => model.unet.stepSeconds(unetSize, timestep, wanted, signal),
  });
  const unet = await model.unet.prepare({ size: unetSize, timesteps, schedule });
  const denoised = async () => {
    await unet.condition({}, signal);
    return denoise({
      latents: noise.draw().map((value) => value * run.initNoiseSigma),
      predict: (input, step) =>
        unet.predict(tensor('f32', [batch, height, width, shape.channels], input), step, signal),
      run,
      noise,
      schedule,
      onStepEnd: request.onStepEnd,
      signal,
    });
  };
  const { latents, seconds } = await denoised().finally(() => unet.release());

  const images = imagesOf({ ...shape, data: latents });
  const timings = { textEncode: 0, steps: seconds, decode: 0, total: elapsed() };
  return { images, seeds, schedule, prediction, timings, peakMemory: peakMemory() };
}

/** Pixels. @throws BookendError `invalid-checkpoint` for a model that does not say */
export function trainedSize({ config, origin }: UnconditionalDiffusion) {
  if (config.sampleSize) return config.sampleSize;
  throw new BookendError(
    'invalid-checkpoint',
    `The U-Net of ${origin} does not say its sample_size; add it to the config.json.`,
  );
}
