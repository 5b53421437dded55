import { denoise } from './denoise.ts';
import { ImageNoise } from './latents.ts';
import type { GenerationResult, PromptRequest } from './request.ts';
import {
  encodeConditioning,
  finish,
  latentShape,
  promptSettings,
  type StableDiffusion,
} from './stable-diffusion.ts';
import { startStopwatch } from './stopwatch.ts';

export interface TextToImageRequest extends PromptRequest {
  /** Pixels; the model's own size by default. A multiple of the autoencoder's downscale (8). */
  readonly width?: number;
  readonly height?: number;
}

/**
 * Makes images of `prompt`: encode the text, start from noise, denoise step by step, decode.
 *
 * @throws BookendError `invalid-argument`, `insufficient-memory`, `non-finite` or `aborted`
 */
export async function textToImage(
  model: StableDiffusion,
  prompt: string,
  request: TextToImageRequest = {},
): Promise<GenerationResult> {
  const elapsed = startStopwatch();
  const settings = promptSettings(model, prompt, request);
  const { seeds, guidanceScale, steps, eta } = settings;
  const shape = latentShape(model, seeds.length, request.width, request.height);
  const run = settings.scheduler.plan(steps, { eta, batchSize: seeds.length });
  const schedule = run.timesteps.map(() => model.precision);

  const { signal, onStepEnd } = request;
  const embeddings = await encodeConditioning(model, settings, seeds.length, signal);
  const textEncode = elapsed();

  const noise = new ImageNoise(seeds, shape);
  const start = noise.draw().map((value) => value * run.initNoiseSigma);
  const { latents, seconds } = await denoise(model.denoiser, {
    latents: start,
    shape,
    run,
    conditioning: { embeddings, guidanceScale },
    noise,
    schedule,
    onStepEnd,
    signal,
  });

  const account = { seeds, schedule, textEncode, steps: seconds, elapsed, signal };
  return finish(model, latents, shape, account);
}
