import type { FeatureExtractor } from '../../evaluation/feature-extractor.ts';
import { HASH_BYTES, type Logits, type StoredFeatures } from './stored-features.ts';

/** Rows of features, with logits where the extractor classifies. */
export interface Described {
  readonly features: Float32Array;
  readonly logits?: Float32Array;
}

/** Features of a set of images, which become known in any order. */
export class FeatureTable {
  readonly #extractor: string;
  readonly #dimensions: number;
  readonly #classes: number;
  readonly #data: Float32Array;
  readonly #logits: Float32Array;
  readonly #hashes: Uint8Array;
  readonly #isKnown: boolean[];

  /** @param classes 0 of an extractor without a classifier */
  constructor({ name, dimensions }: FeatureExtractor, classes: number, images: number) {
    this.#extractor = name;
    this.#dimensions = dimensions;
    this.#classes = classes;
    this.#data = new Float32Array(images * dimensions);
    this.#logits = new Float32Array(images * classes);
    this.#hashes = new Uint8Array(images * HASH_BYTES);
    this.#isKnown = Array(images).fill(false);
  }

  /** The images that are known, or are not, in order. */
  indices(known: boolean): number[] {
    return [...this.#isKnown.keys()].filter((i) => this.#isKnown[i] === known);
  }

  /**
   * @param row of `described` that is the image's
   * @param hash of its file, where features are stored
   */
  set(image: number, described: Described, row: number, hash?: Uint8Array): void {
    const { features, logits } = described;
    copyRow(features, row, this.#data, image, this.#dimensions);
    if (logits) copyRow(logits, row, this.#logits, image, this.#classes);
    if (hash) this.#hashes.set(hash, image * HASH_BYTES);
    this.#isKnown[image] = true;
  }

  /** What is known of the set, for a file. */
  toStored(identity: string): StoredFeatures & Required<Pick<StoredFeatures, 'origin'>> {
    const known = this.indices(true);
    const images = this.#isKnown.length;
    const rows = <T extends Float32Array | Uint8Array>(from: T, to: T, width: number): T => {
      for (const [row, image] of known.entries()) copyRow(from, image, to, row, width);
      return to;
    };
    const count = known.length;
    const hashes = rows(this.#hashes, new Uint8Array(count * HASH_BYTES), HASH_BYTES);
    const [dimensions, classes] = [this.#dimensions, this.#classes];
    const data = rows(this.#data, new Float32Array(count * dimensions), dimensions);
    const logits = rows(this.#logits, new Float32Array(count * classes), classes);
    return {
      ...{ count, dimensions, data, extractor: this.#extractor },
      ...logitsOf(logits, classes),
      origin: { identity, hashes, images },
    };
  }

  /** All of it, once every image is known. */
  toFeatures(): Omit<StoredFeatures, 'origin'> {
    return {
      ...{ count: this.#isKnown.length, dimensions: this.#dimensions },
      ...{ data: this.#data, extractor: this.#extractor },
      ...logitsOf(this.#logits, this.#classes),
    };
  }
}

function logitsOf(data: Float32Array, classes: number): { readonly logits?: Logits } {
  return classes > 0 ? { logits: { data, classes } } : {};
}

function copyRow<T extends Float32Array | Uint8Array>(
  from: T,
  row: number,
  to: T,
  toRow: number,
  width: number,
): void {
  to.set(from.subarray(row * width, (row + 1) * width), toRow * width);
}
