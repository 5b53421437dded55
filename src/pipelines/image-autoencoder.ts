import { startStopwatch } from '../core/stopwatch.ts';
import { tensor } from '../core/tensor.ts';
import {
  type AutoencoderKLSize,
  buildAutoencoderKLDecoder,
  buildAutoencoderKLEncoder,
} from '../models/autoencoder-kl.ts';
import type { AutoencoderKLConfig } from '../models/autoencoder-kl-config.ts';
import { type Compile, CompiledModel } from './compiled-model.ts';
import { type LatentShape, latentCount } from './latents.ts';
import type { TileDecoded } from './request.ts';
import { planTiles, TileBlender, type TileOrigin, type TilePlan } from './tiles.ts';

/** Pixels, [batch, height, width, 3] channels-last, -1 to 1. */
export interface PixelBatch {
  readonly batch: number;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly data: Float32Array;
}

/** What the encoder says of an image: normal, independent numbers, in the scale of the U-Net. */
export interface LatentPosterior {
  /** [batch, height, width, channels]. */
  readonly mean: Float32Array;
  readonly deviation: Float32Array;
}

export interface DecodeOptions {
  /**
   * Largest extent, in latent pixels, that is decoded in one piece; larger images are decoded in
   * overlapping tiles of this size, blended over a quarter of it. 96 (768 pixels) by default.
   */
  readonly tileSize?: number;
  readonly onTileDecoded?: (event: TileDecoded) => void;
  readonly signal?: AbortSignal;
}

const DEFAULT_TILE = 96;

/** The VAE: pixels to latents and back, in the scale that the U-Net works in. */
export class ImageAutoencoder {
  readonly config: AutoencoderKLConfig;
  readonly #encoder: CompiledModel<AutoencoderKLSize>;
  readonly #decoder: CompiledModel<AutoencoderKLSize>;

  constructor(config: AutoencoderKLConfig, compile: Compile) {
    this.config = config;
    this.#encoder = new CompiledModel((size) => buildAutoencoderKLEncoder(config, size), compile);
    this.#decoder = new CompiledModel((size) => buildAutoencoderKLDecoder(config, size), compile);
  }

  /**
   * A sample of the latents of `image`: mean + exp(½ log-variance) · noise, times the scaling
   * factor. `noise` has the latents' shape, channels-last.
   */
  async encode(
    image: PixelBatch,
    noise: Float32Array,
    signal?: AbortSignal,
  ): Promise<Float32Array> {
    const { mean, logVariance } = await this.#encode(image, signal);
    const { scalingFactor } = this.config;
    return noise.map((draw, i) => (mean[i] + deviationOf(logVariance[i]) * draw) * scalingFactor);
  }

  /** What `encode` draws its samples from: mean + deviation · noise. */
  async posterior(image: PixelBatch, signal?: AbortSignal): Promise<LatentPosterior> {
    const { mean, logVariance } = await this.#encode(image, signal);
    const { scalingFactor } = this.config;
    return {
      mean: mean.map((value) => value * scalingFactor),
      deviation: logVariance.map((value) => deviationOf(value) * scalingFactor),
    };
  }

  /** Pixels of latents, image by image so that memory does not grow with the batch. */
  async decode(
    latents: Float32Array,
    shape: LatentShape,
    options: DecodeOptions = {},
  ): Promise<PixelBatch> {
    const { downscale, outChannels, scalingFactor } = this.config;
    const height = shape.height * downscale;
    const width = shape.width * downscale;
    const data = new Float32Array(shape.batch * height * width * outChannels);
    const single = { ...shape, batch: 1 };
    const count = latentCount(single);
    const tiles = planTiles(shape, options.tileSize ?? DEFAULT_TILE);
    const announce = tileCounter(tiles.origins.length * shape.batch, options.onTileDecoded);
    for (let image = 0; image < shape.batch; image++) {
      const unscaled = latents
        .subarray(image * count, (image + 1) * count)
        .map((value) => value / scalingFactor);
      const pixels = await this.#decodeOne(unscaled, single, tiles, announce, options.signal);
      data.set(pixels, image * pixels.length);
    }
    return { batch: shape.batch, height, width, channels: outChannels, data };
  }

  dispose(): void {
    this.#encoder.dispose();
    this.#decoder.dispose();
  }

  async #encode({ batch, height, width, channels, data }: PixelBatch, signal?: AbortSignal) {
    const sample = tensor('f32', [batch, height, width, channels], data);
    const { mean, logVariance } = await this.#encoder.use({ batch, height, width }, (encoder) =>
      encoder.run({ sample }, { signal }),
    );
    return {
      mean: mean.data as Float32Array,
      logVariance: logVariance.data as Float32Array,
    };
  }

  async #decodeOne(
    latents: Float32Array,
    shape: LatentShape,
    tiles: TilePlan,
    announce: (seconds: number) => void,
    signal?: AbortSignal,
  ): Promise<Float32Array> {
    const size = { batch: 1, height: tiles.height, width: tiles.width };
    const { downscale, outChannels } = this.config;
    return this.#decoder.use(size, async (decoder) => {
      const decodeTile = async (origin: TileOrigin) => {
        const piece = cut(latents, shape, origin, size);
        const input = tensor('f32', [1, size.height, size.width, shape.channels], piece);
        const elapsed = startStopwatch();
        const { sample } = await decoder.run({ latents: input }, { signal });
        announce(elapsed());
        return sample.data as Float32Array;
      };
      if (tiles.origins.length === 1) return decodeTile(tiles.origins[0]);
      const blender = new TileBlender(tiles, shape, downscale, outChannels);
      for (const origin of tiles.origins) blender.add(await decodeTile(origin), origin);
      return blender.finish();
    });
  }
}

/** The bounds are those of diffusers. */
function deviationOf(logVariance: number): number {
  return Math.exp(0.5 * Math.min(20, Math.max(-30, logVariance)));
}

/** Turns the durations of `tiles` pieces, in order, into events. */
function tileCounter(tiles: number, onTileDecoded: DecodeOptions['onTileDecoded']) {
  let tile = 0;
  return (seconds: number) => onTileDecoded?.({ tile: tile++, tiles, seconds });
}

/** The rectangle of `latents` at `origin`. */
function cut(
  latents: Float32Array,
  shape: LatentShape,
  origin: { readonly top: number; readonly left: number },
  size: { readonly height: number; readonly width: number },
): Float32Array {
  if (size.height === shape.height && size.width === shape.width) return latents;
  const row = size.width * shape.channels;
  const out = new Float32Array(size.height * row);
  for (let y = 0; y < size.height; y++) {
    const from = ((origin.top + y) * shape.width + origin.left) * shape.channels;
    out.set(latents.subarray(from, from + row), y * row);
  }
  return out;
}
