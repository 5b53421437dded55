import type { Tensor } from '../../core/tensor.ts';
import type { RandomStream } from '../random-stream.ts';

/** Extents of what the U-Net denoises; in memory it is channels-last. */
export type SampleShape = readonly [height: number, width: number, channels: number];

/** What a U-Net is trained on at one place of a batch. */
export interface TrainingSample {
  /** Noiseless, [height, width, channels], in the scale that the U-Net reads. */
  readonly latents: Float32Array;
  /**
   * Of the caption, f32 [tokens, width]; absent for models without a prompt. Shared,
   * so not to be changed.
   */
  readonly embeddings?: Tensor;
}

/** A data set as the training loop sees it: images and captions through the model's own networks. */
export interface TrainingSamples {
  /** At least 1. */
  readonly count: number;
  /** Hash of everything that the samples depend on; a run is only resumed with the same. */
  readonly identity: string;
  readonly latentShape: SampleShape;
  /** Of the empty text, f32 [tokens, width]; absent for models without a prompt. */
  readonly emptyEmbeddings?: Tensor;
  /**
   * Sample `index`. An autoencoder's latents are drawn from what it says of the image, with numbers
   * from `random`, so that the same stream gives the same latents; pixels take none.
   *
   * @throws BookendError `invalid-argument` for an index out of range, `invalid-image`, `not-found`,
   * `io`, `aborted`
   */
  sample(index: number, random: RandomStream): Promise<TrainingSample>;
  /**
   * Makes what the cache lacks of these samples, so that the steps of a run are not held up by it;
   * `sample` does it for any that are left. Interrupted, it loses none that was finished.
   *
   * @throws BookendError as `sample` does
   */
  prepare(indices: Iterable<number>, options?: PrepareOptions): Promise<void>;
  /** Closes files; what was prepared can still be taken. */
  close(): Promise<void>;
}

export interface PrepareOptions {
  /** Told after each of `total` samples, or evaluations of the model; `seconds` is its time. */
  readonly onProgress?: (done: number, total: number, seconds: number) => void;
  readonly signal?: AbortSignal;
}
