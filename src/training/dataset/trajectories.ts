import type { Tensor } from '../../core/tensor.ts';
import type { PrepareOptions, SampleShape } from './training-samples.ts';

/** A place on the way from noise to an image that a sampling run has passed through. */
export interface TrajectoryPoint {
  /** As the U-Net read it, [height, width, channels]: the scheduler has scaled it already. */
  readonly latents: Float32Array;
  /** That the U-Net was told; not whole for some schedulers. */
  readonly timestep: number;
  /**
   * Of the run's prompt, f32 [tokens, width]; absent for models without a prompt. Shared,
   * so not to be changed.
   */
  readonly embeddings?: Tensor;
}

/**
 * Sampling runs of a model as it is used, instead of images to train on: what it saw at each of its
 * evaluations.
 */
export interface Trajectories {
  /** Runs, at least 1. */
  readonly count: number;
  /** Hash of everything that the points depend on; a run is only resumed with the same. */
  readonly identity: string;
  readonly latentShape: SampleShape;
  /** Of each evaluation, the same in all runs; PNDM has more evaluations than steps. */
  readonly timesteps: readonly number[];
  /** Of the empty text, f32 [tokens, width]; absent for models without a prompt. */
  readonly emptyEmbeddings?: Tensor;
  /**
   * What run `trajectory` came through at `evaluation`, made and kept on disk if it is not yet.
   *
   * @throws BookendError `invalid-argument` for numbers out of range; as generating does
   */
  point(trajectory: number, evaluation: number): Promise<TrajectoryPoint>;
  /**
   * Makes what is missing of these runs. Interrupted, it loses none that was finished.
   *
   * @throws BookendError as `point` does
   */
  prepare(trajectories: Iterable<number>, options?: PrepareOptions): Promise<void>;
}
