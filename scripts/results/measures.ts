import type { Colours } from './colours.ts';

/** How far a set of images is from another. */
export interface Distances {
  /** Of the other set. */
  readonly images: number;
  readonly frechet: number;
  /** Squared, as in papers; KID is often printed × 1000. */
  readonly kernel: number;
  readonly kernelDeviation: number;
  readonly precision: number;
  readonly recall: number;
}

/** What the features of a row's images say. */
export interface Judged {
  /** Of each image to FP32's of the same prompt and seed; zeros for FP32 itself. */
  readonly featureDistance: readonly number[];
  /** Of each prompt; of a model without prompts, of images drawn together. */
  readonly diversity: readonly number[];
  /** To the training pictures. */
  readonly art: Distances;
  /** To the FP32 model's own images of other seeds. */
  readonly own: Distances;
  /** For each image, 1 where the nearest training picture is that of its prompt; where there are prompts. */
  readonly nearest?: readonly number[];
}

/** What measure.ts finds of a row. Lists have a number for each image. */
export interface Measures {
  readonly images: number;
  /** One after another. */
  readonly imagesPerPrompt: number;
  readonly isa: string;
  /** dB to FP32; empty for FP32 itself, null for equal images. */
  readonly psnr: readonly (number | null)[];
  readonly ssim: readonly number[];
  readonly colours: readonly Colours[];
  /** Where there are enough images. */
  readonly judged?: Judged;
}
