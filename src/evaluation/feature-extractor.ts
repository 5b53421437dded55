import { BookendError } from '../core/errors.ts';
import type { Image } from '../io/image-data.ts';

export interface ExtractOptions {
  readonly signal?: AbortSignal;
}

/**
 * Something that describes images by vectors, for distances between sets of images. Features of
 * extractors with different names mean different things and are not to be compared.
 */
export interface FeatureExtractor {
  /** Says which network, which weights and which resizing, in one word. */
  readonly name: string;
  /** Numbers per image. */
  readonly dimensions: number;
  /**
   * A hash of the weights: extractors of one name and one identity see the same in an image, but for
   * what kernels of different CPUs round otherwise.
   */
  identity(): Promise<string>;
  /**
   * Of images of any size, gray, RGB or RGBA (whose transparency is dropped); run in batches.
   *
   * @returns [images, dimensions], row by row
   * @throws BookendError `non-finite` where the network computes nonsense, `aborted`
   */
  extract(images: readonly Image[], options?: ExtractOptions): Promise<Float32Array>;
  dispose(): Promise<void>;
}

/** An extractor that also says what its network takes the images for. */
export interface ClassifyingExtractor extends FeatureExtractor {
  readonly classes: number;
  /** Both from one run of the network. */
  describe(images: readonly Image[], options?: ExtractOptions): Promise<Description>;
}

export interface Description {
  /** [images, dimensions] */
  readonly features: Float32Array;
  /** [images, classes], before softmax. */
  readonly logits: Float32Array;
}

/** Rows of features, [count, dimensions]. */
export interface FeatureRows {
  readonly data: Float32Array;
  readonly dimensions: number;
}

/**
 * The number of rows of `features`.
 *
 * @throws BookendError `invalid-argument` unless they are whole rows of finite numbers
 */
export function countRows(features: Float32Array, dimensions: number): number {
  const rows = features.length / dimensions;
  if (!Number.isInteger(rows)) {
    throw new BookendError(
      'invalid-argument',
      `${features.length} numbers are no rows of ${dimensions} features; pass whole rows.`,
    );
  }
  if (!isAllFinite(features)) {
    const bad = features.findIndex((value) => !Number.isFinite(value));
    throw new BookendError(
      'non-finite',
      `Feature ${bad % dimensions} of image ${Math.floor(bad / dimensions)} is ${features[bad]}; check the extractor's weights, or use f32.`,
    );
  }
  return rows;
}

/** A sum of products with 0 is 0 unless a factor is not finite. */
function isAllFinite(values: Float32Array): boolean {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += 0 * values[i];
  return sum === 0;
}
