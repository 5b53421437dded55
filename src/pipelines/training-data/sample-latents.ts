import { floats, tensor } from '../../core/tensor.ts';
import type { CaptionedImages } from '../../training/dataset/captioned-images.ts';
import { MemoryCache } from '../../training/dataset/memory-cache.ts';
import type { ImageSize } from '../../training/dataset/prepare-image.ts';
import { latentsKey, pixelsKey, type TensorCache } from '../../training/dataset/tensor-cache.ts';
import type { SampleShape } from '../../training/dataset/training-samples.ts';
import type { ImageAutoencoder, LatentPosterior } from '../image-autoencoder.ts';
import { type CacheOptions, MEMORY } from './cache-options.ts';
import { trainingPixels } from './training-image.ts';

/** What the encoder says of each image of a data set, computed once. */
export class ImageLatents {
  readonly shape: SampleShape;
  readonly #autoencoder: ImageAutoencoder;
  readonly #hash: string;
  readonly #images: CaptionedImages;
  readonly #size: ImageSize;
  readonly #cache: TensorCache;
  readonly #options: CacheOptions;
  readonly #latest = new MemoryCache<LatentPosterior>(
    MEMORY,
    ({ mean, deviation }) => mean.byteLength + deviation.byteLength,
  );

  /**
   * @param hash of the autoencoder
   * @param size in pixels, a multiple of the autoencoder's scale
   */
  constructor(
    autoencoder: ImageAutoencoder,
    hash: string,
    images: CaptionedImages,
    size: ImageSize,
    cache: TensorCache,
    options: CacheOptions,
  ) {
    const { downscale, latentChannels } = autoencoder.config;
    this.shape = [size.height / downscale, size.width / downscale, latentChannels];
    this.#autoencoder = autoencoder;
    this.#hash = hash;
    this.#images = images;
    this.#size = size;
    this.#cache = cache;
    this.#options = options;
  }

  /** Numbers in the latents of one image. */
  get count(): number {
    const [height, width, channels] = this.shape;
    return height * width * channels;
  }

  /** @throws BookendError `invalid-image`, `not-found`, `io`, `aborted` */
  async of(index: number, signal?: AbortSignal): Promise<LatentPosterior> {
    const key = latentsKey(this.#images.contentHash(index), this.#hash, this.#size);
    return this.#latest.get(key.content, async () => {
      const made = await this.#cache.readOrMake(
        key,
        { mean: this.shape, deviation: this.shape },
        () => this.#encode(index, signal),
        this.#options.onStale,
      );
      return { mean: floats(made.get('mean')!), deviation: floats(made.get('deviation')!) };
    });
  }

  async #encode(index: number, signal?: AbortSignal) {
    const { inChannels } = this.#autoencoder.config;
    const pixels = await trainingPixels(this.#images, index, this.#size, inChannels);
    const { mean, deviation } = await this.#autoencoder.posterior(pixels, signal);
    return new Map([
      ['mean', tensor('f32', this.shape, mean)],
      ['deviation', tensor('f32', this.shape, deviation)],
    ]);
  }
}

/** The images of a data set from -1 to 1, cropped and scaled once. */
export class ImagePixels {
  readonly shape: SampleShape;
  readonly #images: CaptionedImages;
  readonly #cache: TensorCache;
  readonly #options: CacheOptions;
  readonly #latest = new MemoryCache<Float32Array>(MEMORY, ({ byteLength }) => byteLength);

  constructor(
    images: CaptionedImages,
    size: ImageSize,
    channels: number,
    cache: TensorCache,
    options: CacheOptions,
  ) {
    this.shape = [size.height, size.width, channels];
    this.#images = images;
    this.#cache = cache;
    this.#options = options;
  }

  /** [height, width, channels]. @throws BookendError `invalid-image`, `not-found`, `io` */
  async of(index: number): Promise<Float32Array> {
    const key = pixelsKey(this.#images.contentHash(index), this.shape);
    return this.#latest.get(key.content, async () => {
      const made = await this.#cache.readOrMake(
        key,
        { pixels: this.shape },
        () => this.#read(index),
        this.#options.onStale,
      );
      return floats(made.get('pixels')!);
    });
  }

  async #read(index: number) {
    const [height, width, channels] = this.shape;
    const { data } = await trainingPixels(this.#images, index, { height, width }, channels);
    return new Map([['pixels', tensor('f32', this.shape, data)]]);
  }
}
