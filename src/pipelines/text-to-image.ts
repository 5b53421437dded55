import { startStopwatch } from '../core/stopwatch.ts';
import { denoise } from './denoise.ts';
import { ImageNoise } from './latents.ts';
import type { GenerationResult, PromptRequest } from './request.ts';
import {
  finish,
  latentShape,
  planDenoiser,
  promptSettings,
  requirePlainModel,
  type StableDiffusion,
} from './stable-diffusion.ts';

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
  requirePlainModel(model);
  const settings = promptSettings(model, prompt, request);
  const { seeds, steps, eta } = settings;
  const shape = latentShape(model, seeds.length, request.width, request.height);
  const run = settings.scheduler.plan(steps, { eta, batchSize: seeds.length });

  const { signal, onStepEnd } = request;
  const plan = await planDenoiser(model, settings, shape, run, signal);
  const outcome = await model.denoiser.use(plan, async (unet) => {
    const encoding = startStopwatch();
    const embeddings = await model.textEncoder.encode(settings.tokenized, signal);
    await unet.condition({ embeddings }, signal);
    const textEncode = encoding();

    const noise = new ImageNoise(seeds, shape);
    const denoised = await denoise({
      latents: noise.draw().map((value) => value * run.initNoiseSigma),
      predict: (input, step) => unet.predict(input, step, signal),
      run,
      noise,
      schedule: plan.schedule,
      onStepEnd,
      signal,
    });
    return { ...denoised, textEncode };
  });

  const { latents, textEncode, seconds } = outcome;
  const account = { seeds, plan, textEncode, steps: seconds, elapsed };
  return finish(model, latents, shape, account, request);
}
