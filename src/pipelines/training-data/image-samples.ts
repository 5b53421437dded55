import { createHash } from 'node:crypto';
import { BookendError, throwIfAborted } from '../../core/errors.ts';
import { startStopwatch } from '../../core/stopwatch.ts';
import { hashText } from '../../io/file-hash.ts';
import type { CaptionedImages } from '../../training/dataset/captioned-images.ts';
import { openImages } from '../../training/dataset/open-images.ts';
import type { ImageSize } from '../../training/dataset/prepare-image.ts';
import type { PrepareOptions, TrainingSamples } from '../../training/dataset/training-samples.ts';
import type { LoadedModel } from '../load.ts';
import type { ModelParts } from '../model-parts.ts';
import { requireExtent } from '../request.ts';
import { latentShape, requirePlainModel, type StableDiffusion } from '../stable-diffusion.ts';
import { trainedSize, type UnconditionalDiffusion } from '../unconditional.ts';
import { type CacheOptions, openCache } from './cache-options.ts';
import { CaptionEmbeddings } from './caption-embeddings.ts';
import { componentHash } from './model-hash.ts';
import { ImageLatents, ImagePixels } from './sample-latents.ts';

export interface ImageSamplesOptions extends CacheOptions {
  /** What `openImages` opens; captions are not looked at for models without a prompt. */
  readonly path: string;
  /** Of Parquet files: names of the columns, where they are not the usual ones. */
  readonly imageColumn?: string;
  readonly captionColumn?: string;
  /** Height and width to crop and scale images to, in pixels; the model's own by default. */
  readonly size?: number;
  readonly signal?: AbortSignal;
}

/**
 * Opens a data set for a model: its images through the model's autoencoder and its captions through
 * the model's text encoder, each when first asked for and then kept on disk; for a model that draws
 * pixels, the images cropped and scaled. `model` must not be disposed of while samples are in use.
 *
 * @param parts of `model`
 * @throws BookendError as `openImages` does; `invalid-argument` for the size; `unsupported`
 * for models that only inpaint
 */
export async function openImageSamples(
  model: LoadedModel,
  parts: ModelParts,
  options: ImageSamplesOptions,
): Promise<TrainingSamples> {
  // What is soon found to be wrong is told before a large data set is read.
  const size = sizeOf(model, options);
  const captions = model.kind === 'unconditional' ? 'ignored' : 'required';
  const images = await openImages(options.path, { ...options, captions });
  try {
    return model.kind === 'unconditional'
      ? pixelSamples(model.model, images, size, options)
      : await latentSamples(model.model, parts, images, size, options);
  } catch (error) {
    await images.close();
    throw error;
  }
}

function sizeOf(loaded: LoadedModel, { size }: ImageSamplesOptions): ImageSize {
  if (loaded.kind === 'stable-diffusion') {
    requirePlainModel(loaded.model);
    const { height, width } = latentShape(loaded.model, 1, size, size);
    const { downscale } = loaded.model.autoencoder.config;
    return { height: height * downscale, width: width * downscale };
  }
  if (size === undefined) return trainedSize(loaded.model);
  const extent = requireExtent(
    'size',
    size,
    2 ** (loaded.model.config.blockOutChannels.length - 1),
  );
  return { height: extent, width: extent };
}

async function latentSamples(
  { precision, autoencoder, textEncoder }: StableDiffusion,
  parts: ModelParts,
  images: CaptionedImages,
  size: ImageSize,
  options: ImageSamplesOptions,
): Promise<TrainingSamples> {
  const vae = await componentHash(parts, 'vae', precision);
  const text = await componentHash(parts, 'text_encoder', precision);
  const cache = openCache(options);
  const captions = new CaptionEmbeddings(textEncoder, text, cache, options);
  const emptyEmbeddings = await captions.of('', options.signal);
  const latents = new ImageLatents(autoencoder, vae, images, size, cache, options);
  return {
    count: images.count,
    identity: hashText(JSON.stringify([vae, text, size, imagesAndTokens(images, captions)])),
    latentShape: latents.shape,
    emptyEmbeddings,
    async sample(index, random) {
      requireIndex(images, index);
      // Drawn before anything is waited for, so that calls at once take their numbers in order.
      const draws = random.normals(latents.count);
      const { mean, deviation } = await latents.of(index);
      const embeddings = await captions.of(images.caption(index));
      return { latents: mean.map((value, i) => value + deviation[i] * draws[i]), embeddings };
    },
    prepare: (indices, prepareOptions) =>
      prepareEach(images, indices, prepareOptions, async (index, signal) => {
        await latents.of(index, signal);
        await captions.of(images.caption(index), signal);
      }),
    close: () => images.close(),
  };
}

/** Tokens stand for the captions and for the tokenizer. */
function imagesAndTokens(images: CaptionedImages, captions: CaptionEmbeddings): string {
  const hash = createHash('sha256').update(images.identity);
  for (let i = 0; i < images.count; i++) hash.update(captions.ids(images.caption(i)));
  return hash.digest('hex');
}

function pixelSamples(
  { config: { inChannels } }: UnconditionalDiffusion,
  images: CaptionedImages,
  size: ImageSize,
  options: ImageSamplesOptions,
): TrainingSamples {
  const pixels = new ImagePixels(images, size, inChannels, openCache(options), options);
  return {
    count: images.count,
    identity: hashText(JSON.stringify([images.identity, size, inChannels])),
    latentShape: pixels.shape,
    async sample(index) {
      requireIndex(images, index);
      // A copy, so that who changes it changes nothing else.
      return { latents: (await pixels.of(index)).slice() };
    },
    prepare: (indices, prepareOptions) =>
      prepareEach(images, indices, prepareOptions, (index) => pixels.of(index)),
    close: () => images.close(),
  };
}

/** One after the other in the order of the data set, which is that of its files. */
async function prepareEach(
  images: CaptionedImages,
  indices: Iterable<number>,
  { onProgress, signal }: PrepareOptions = {},
  prepare: (index: number, signal?: AbortSignal) => Promise<unknown>,
): Promise<void> {
  const wanted = [...new Set(indices)].sort((a, b) => a - b);
  for (const index of wanted) requireIndex(images, index);
  for (const [done, index] of wanted.entries()) {
    throwIfAborted(signal);
    const elapsed = startStopwatch();
    await prepare(index, signal);
    onProgress?.(done + 1, wanted.length, elapsed());
  }
}

function requireIndex({ count }: CaptionedImages, index: number): void {
  if (Number.isInteger(index) && index >= 0 && index < count) return;
  throw new BookendError(
    'invalid-argument',
    `Sample ${index} was asked for of a data set with ${count}; count from 0 to ${count - 1}.`,
  );
}
