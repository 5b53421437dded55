import { TorchGenerator } from '../core/rng.ts';

/** Extents of a latent batch; in memory it is channels-last, [batch, height, width, channels]. */
export interface LatentShape {
  readonly batch: number;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

export function latentCount(shape: LatentShape): number {
  return shape.batch * shape.height * shape.width * shape.channels;
}

/** [batch, channels, height, width], torch's order, to [batch, height, width, channels]. */
export function toChannelsLast(data: Float32Array, shape: LatentShape): Float32Array {
  const { batch, channels } = shape;
  const pixels = shape.height * shape.width;
  const out = new Float32Array(data.length);
  for (let image = 0; image < batch; image++) {
    for (let channel = 0; channel < channels; channel++) {
      const source = (image * channels + channel) * pixels;
      const target = image * pixels * channels + channel;
      for (let pixel = 0; pixel < pixels; pixel++) {
        out[target + pixel * channels] = data[source + pixel];
      }
    }
  }
  return out;
}

/**
 * The random numbers of a batch. Every image has a generator of its own, drawn in torch's memory
 * order, so image i of seed s is the image that diffusers makes with `manual_seed(s + i)`, whatever
 * the batch it is made in.
 */
export class ImageNoise {
  readonly #generators: readonly TorchGenerator[];
  readonly #shape: LatentShape;

  constructor(seeds: readonly number[], shape: LatentShape) {
    this.#generators = seeds.map((seed) => new TorchGenerator(seed));
    this.#shape = shape;
  }

  /** Standard normal noise of the batch's shape, channels-last. */
  readonly draw = (): Float32Array => {
    const single = { ...this.#shape, batch: 1 };
    const count = latentCount(single);
    const out = new Float32Array(count * this.#generators.length);
    this.#generators.forEach((generator, image) => {
      out.set(toChannelsLast(generator.normalFloat32(count), single), image * count);
    });
    return out;
  };
}
