import { BookendError } from '../core/errors.ts';
import { startStopwatch } from '../core/stopwatch.ts';
import { resizeImage } from '../io/image.ts';
import { checkImage, floatsOfImage, type Image } from '../io/image-data.ts';
import { denoise } from './denoise.ts';
import type { PixelBatch } from './image-autoencoder.ts';
import { ImageNoise } from './latents.ts';
import { type GenerationResult, type PromptRequest, requireNumber } from './request.ts';
import {
  finish,
  latentShape,
  planDenoiser,
  promptSettings,
  requirePlainModel,
  type StableDiffusion,
} from './stable-diffusion.ts';

export interface ImageToImageRequest extends PromptRequest {
  /** RGB; scaled to the output size where it differs. */
  readonly image: Image;
  /** How much of the image to redraw, above 0 to 1 (all of it); 0.8 by default. */
  readonly strength?: number;
  /** Output size; that of `image`, rounded down to what the autoencoder can halve, by default. */
  readonly width?: number;
  readonly height?: number;
}

/**
 * Redraws an image after a prompt (SDEdit, Meng et al., 2022): noise it up to the level that
 * `strength` says, then denoise from there.
 *
 * @throws BookendError `invalid-argument`, `invalid-image`, `insufficient-memory`, `non-finite` or
 * `aborted`
 */
export async function imageToImage(
  model: StableDiffusion,
  prompt: string,
  request: ImageToImageRequest,
): Promise<GenerationResult> {
  const elapsed = startStopwatch();
  requirePlainModel(model);
  const settings = promptSettings(model, prompt, request);
  const { seeds, steps, eta } = settings;
  const size = outputSize(model, request);
  const shape = latentShape(model, seeds.length, size.width, size.height);
  const startStep = firstStep(steps, request.strength ?? 0.8);
  const run = settings.scheduler.plan(steps, { startStep, eta, batchSize: seeds.length });

  const { signal, onStepEnd } = request;
  const pixels = await pixelBatch(request.image, size, seeds.length);
  const plan = await planDenoiser(model, settings, shape, run, signal);
  const outcome = await model.denoiser.use(plan, async (unet) => {
    const encoding = startStopwatch();
    const embeddings = await model.textEncoder.encode(settings.tokenized, signal);
    await unet.condition({ embeddings }, signal);
    const textEncode = encoding();

    const noise = new ImageNoise(seeds, shape);
    const known = await model.autoencoder.encode(pixels, noise.draw(), signal);
    const denoised = await denoise({
      latents: run.addNoise(known, noise.draw(), 0),
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

/** How many of `steps` to leave out so that `strength` of them is left. */
export function firstStep(steps: number, strength: number): number {
  requireNumber('strength', strength, 0, 1);
  const kept = Math.min(Math.floor(steps * strength), steps);
  if (kept > 0) return steps - kept;
  throw new BookendError(
    'invalid-argument',
    `A strength of ${strength} leaves none of ${steps} steps; raise one of the two.`,
  );
}

/** For callers without a type checker. @throws BookendError `invalid-argument`, `invalid-image` */
export function requireImage(name: string, image: Image | undefined): void {
  if (!image) {
    throw new BookendError(
      'invalid-argument',
      `The request has no ${name}; read one with readImage and pass it.`,
    );
  }
  checkImage(image);
}

export function outputSize(
  model: StableDiffusion,
  { image, width, height }: Pick<ImageToImageRequest, 'image' | 'width' | 'height'>,
): { readonly width: number; readonly height: number } {
  requireImage('image', image);
  const { downscale } = model.autoencoder.config;
  const whole = (extent: number) => Math.max(downscale, extent - (extent % downscale));
  return { width: width ?? whole(image.width), height: height ?? whole(image.height) };
}

/** One image scaled to `size`, repeated `batch` times. */
export async function pixelBatch(
  image: Image,
  { width, height }: { readonly width: number; readonly height: number },
  batch: number,
): Promise<PixelBatch> {
  if (image.channels !== 3) {
    throw new BookendError(
      'invalid-image',
      `The image has ${image.channels} channels where 3 (RGB) were expected; read it with readImage.`,
    );
  }
  const scaled =
    image.width === width && image.height === height
      ? image
      : await resizeImage(image, width, height);
  const single = floatsOfImage(scaled);
  const data = new Float32Array(batch * single.length);
  for (let i = 0; i < batch; i++) data.set(single, i * single.length);
  return { batch, height, width, channels: 3, data };
}
