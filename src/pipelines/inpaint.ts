import { BookendError } from '../core/errors.ts';
import { startStopwatch } from '../core/stopwatch.ts';
import { type Image, maskOfImage } from '../io/image-data.ts';
import type { SchedulerRun } from '../schedulers/scheduler.ts';
import { denoise } from './denoise.ts';
import type { PixelBatch } from './image-autoencoder.ts';
import {
  firstStep,
  type ImageToImageRequest,
  outputSize,
  pixelBatch,
  requireImage,
} from './image-to-image.ts';
import { ImageNoise, type LatentShape, latentCount } from './latents.ts';
import type { GenerationResult } from './request.ts';
import {
  finish,
  isInpaintingModel,
  latentShape,
  planDenoiser,
  promptSettings,
  type StableDiffusion,
} from './stable-diffusion.ts';

export interface InpaintRequest extends ImageToImageRequest {
  /** Bright (128 and up) where the image is to be repainted; of the image's size. */
  readonly mask: Image;
  /** 1 by default: nothing of the masked part is left. */
  readonly strength?: number;
}

/** Mask and picture in latent space, as the loop needs them. */
interface Known {
  /** 1 where repainted, [batch, height, width, 1] at latent resolution. */
  readonly mask: Float32Array;
  /** Latents of the whole image; absent where nothing reads them. */
  readonly latents?: Float32Array;
  readonly noise: Float32Array;
}

/**
 * Repaints the masked part of an image. With an ordinary U-Net the rest is put back, at the right
 * noise level, after every step; a U-Net of nine input channels is shown mask and masked image.
 *
 * @throws BookendError `invalid-argument`, `invalid-image`, `unsupported`, `insufficient-memory`,
 * `non-finite` or `aborted`
 */
export async function inpaint(
  model: StableDiffusion,
  prompt: string,
  request: InpaintRequest,
): Promise<GenerationResult> {
  const elapsed = startStopwatch();
  const settings = promptSettings(withoutRungeKutta(model), prompt, request);
  const { seeds, steps, eta } = settings;
  const size = outputSize(model, request);
  const shape = latentShape(model, seeds.length, size.width, size.height);
  const strength = request.strength ?? 1;
  const startStep = firstStep(steps, strength);
  const run = settings.scheduler.plan(steps, { startStep, eta, batchSize: seeds.length });
  const aware = isInpaintingModel(model);

  const { signal, onStepEnd } = request;
  const pixels = await pixelBatch(request.image, size, seeds.length);
  const pixelMask = maskFor(request.mask, request.image, size);
  const plan = await planDenoiser(model, settings, shape, run, signal);
  const outcome = await model.denoiser.use(plan, async (unet) => {
    const encoding = startStopwatch();
    const embeddings = await model.textEncoder.encode(settings.tokenized, signal);
    const encoded = encoding();

    const noise = new ImageNoise(seeds, shape);
    // The draws are diffusers': image where needed, start, masked image whether needed or not.
    const needsImage = !aware || strength < 1;
    const latents = needsImage
      ? await model.autoencoder.encode(pixels, noise.draw(), signal)
      : undefined;
    const known: Known = { mask: shrinkMask(pixelMask, size, shape), latents, noise: noise.draw() };
    const maskedNoise = noise.draw();
    const masked = aware
      ? await model.autoencoder.encode(hideMasked(pixels, pixelMask), maskedNoise, signal)
      : undefined;

    const conditioning = startStopwatch();
    const extraChannels = masked && besideSample(known.mask, masked, shape);
    await unet.condition({ embeddings, extraChannels }, signal);
    const textEncode = encoded + conditioning();
    const denoised = await denoise({
      latents: startLatents(run, known, strength),
      predict: (input, step) => unet.predict(input, step, signal),
      run,
      noise,
      schedule: plan.schedule,
      afterStep: aware ? undefined : (sample, step) => putBack(sample, run, known, step),
      onStepEnd,
      signal,
    });
    return { ...denoised, textEncode };
  });

  const { latents, textEncode, seconds } = outcome;
  const account = { seeds, plan, textEncode, steps: seconds, elapsed };
  return finish(model, latents, shape, account, request);
}

/** Inpainting starts PNDM like image-to-image: there is no room for Runge–Kutta steps mid-schedule. */
function withoutRungeKutta(model: StableDiffusion): StableDiffusion {
  return { ...model, schedulerConfig: { ...model.schedulerConfig, skip_prk_steps: true } };
}

function startLatents(run: SchedulerRun, known: Known, strength: number): Float32Array {
  if (strength === 1 || !known.latents) {
    return known.noise.map((value) => value * run.initNoiseSigma);
  }
  return run.addNoise(known.latents, known.noise, 0);
}

/** The picture, as noisy as the next step's sample is, outside the mask. */
function putBack(
  sample: Float32Array,
  run: SchedulerRun,
  { mask, latents, noise }: Known,
  step: number,
): Float32Array {
  const picture = latents as Float32Array;
  const last = step === run.timesteps.length - 1;
  const noisy = last ? picture : run.addNoise(picture, noise, step + 1);
  const channels = sample.length / mask.length;
  return sample.map((value, i) => {
    const share = mask[Math.floor(i / channels)];
    return (1 - share) * noisy[i] + share * value;
  });
}

/** Full-size mask of 0 and 1, scaled to the output without gray between. */
function maskFor(
  mask: Image,
  image: Image,
  size: { readonly width: number; readonly height: number },
): Float32Array {
  requireImage('mask', mask);
  if (mask.width !== image.width || mask.height !== image.height) {
    throw new BookendError(
      'invalid-image',
      `The mask has ${mask.width}×${mask.height} pixels and the image ${image.width}×${image.height}; make them the same size.`,
    );
  }
  return resampleNearest(maskOfImage(mask), image, size);
}

/** The mask at latent resolution, once per image of the batch. */
function shrinkMask(
  mask: Float32Array,
  size: { readonly width: number; readonly height: number },
  shape: LatentShape,
): Float32Array {
  const single = resampleNearest(mask, size, shape);
  const out = new Float32Array(single.length * shape.batch);
  for (let image = 0; image < shape.batch; image++) out.set(single, image * single.length);
  return out;
}

function resampleNearest(
  source: Float32Array,
  from: { readonly width: number; readonly height: number },
  to: { readonly width: number; readonly height: number },
): Float32Array {
  return Float32Array.from({ length: to.width * to.height }, (_, i) => {
    const y = Math.floor((Math.floor(i / to.width) * from.height) / to.height);
    const x = Math.floor(((i % to.width) * from.width) / to.width);
    return source[y * from.width + x];
  });
}

/** Mid-gray (0) where the mask is. */
function hideMasked(pixels: PixelBatch, mask: Float32Array): PixelBatch {
  const data = pixels.data.map((value, i) =>
    mask[Math.floor(i / pixels.channels) % mask.length] === 1 ? 0 : value,
  );
  return { ...pixels, data };
}

/** [mask, masked latents] on channels. */
function besideSample(mask: Float32Array, masked: Float32Array, shape: LatentShape): Float32Array {
  const { channels } = shape;
  const pixels = latentCount(shape) / channels;
  const out = new Float32Array(pixels * (channels + 1));
  for (let pixel = 0; pixel < pixels; pixel++) {
    out[pixel * (channels + 1)] = mask[pixel];
    out.set(masked.subarray(pixel * channels, (pixel + 1) * channels), pixel * (channels + 1) + 1);
  }
  return out;
}
