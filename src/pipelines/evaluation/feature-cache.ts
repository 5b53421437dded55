import { BookendError } from '../../core/errors.ts';
import type { FeatureExtractor } from '../../evaluation/feature-extractor.ts';
import type { FeatureTable } from './feature-table.ts';
import {
  HASH_BYTES,
  readStoredFeatures,
  type StoredFeatures,
  writeStoredFeatures,
} from './stored-features.ts';

/** Where features of an image are. */
export interface FoundFeatures {
  readonly stored: StoredFeatures;
  readonly row: number;
}

/** Rows that a kill loses at most, or this part of all rows where that is more. */
const UNSAVED_ROWS = 256;
const UNSAVED_PART = 1 / 16;

/**
 * A file in which features outlast the run that extracted them. They are found by the hash of an
 * image's file, and only those of the same extractor: its name, weights and classes.
 */
export class FeatureCache {
  readonly #path: string;
  readonly #identity: string;
  readonly #own: StoredFeatures | undefined;
  readonly #found: ReadonlyMap<string, FoundFeatures>;
  #unsaved = 0;

  private constructor(
    path: string,
    identity: string,
    own: StoredFeatures | undefined,
    usable: readonly StoredFeatures[],
  ) {
    this.#path = path;
    this.#identity = identity;
    this.#own = own;
    const found = new Map<string, FoundFeatures>();
    for (const stored of usable) {
      for (let row = 0; row < stored.count; row++) found.set(hashOf(stored, row), { stored, row });
    }
    this.#found = found;
  }

  /**
   * @param classes 0 of an extractor without a classifier
   * @param others files of other runs to read as well, as far as they are there
   * @throws BookendError `invalid-checkpoint` for a damaged file, or one at `path` that holds
   *   something else, which is not overwritten; `io`
   */
  static async open(
    path: string,
    extractor: FeatureExtractor,
    classes: number,
    others: readonly string[] = [],
  ): Promise<FeatureCache> {
    const own = await readIfThere(path);
    if (own === 'foreign') {
      throw new BookendError(
        'invalid-checkpoint',
        `${path} holds no features of images, and those would be stored there; move it away or choose another folder.`,
      );
    }
    const read = [own];
    for (const other of others) {
      const found = await readIfThere(other);
      if (found !== 'foreign') read.push(found);
    }
    const identity = await extractor.identity();
    const usable = read.filter(
      (stored) =>
        stored?.extractor === extractor.name &&
        stored.origin?.identity === identity &&
        stored.dimensions === extractor.dimensions &&
        (stored.logits?.classes ?? 0) === classes,
    );
    return new FeatureCache(path, identity, own, usable as StoredFeatures[]);
  }

  /** @param hash SHA-256 of an image's file */
  find(hash: Uint8Array): FoundFeatures | undefined {
    return this.#found.get(Buffer.from(hash).toString('hex'));
  }

  /** Stores the table, once in a while, after `extracted` more of its images were extracted. */
  async saveSometimes(table: FeatureTable, extracted: number): Promise<void> {
    this.#unsaved += extracted;
    const rows = table.indices(true).length;
    if (this.#unsaved >= Math.max(UNSAVED_ROWS, rows * UNSAVED_PART)) await this.save(table);
  }

  /** Stores what was extracted and is not stored yet. @throws BookendError `io` */
  async saveRest(table: FeatureTable): Promise<void> {
    if (this.#unsaved > 0) await this.save(table);
  }

  /** Stores what is known of the table, unless the file holds just that. @throws BookendError `io` */
  async save(table: FeatureTable): Promise<void> {
    const stored = table.toStored(this.#identity);
    if (this.#unsaved === 0 && this.#own && isSame(this.#own, stored)) return;
    await writeStoredFeatures(this.#path, stored);
    this.#unsaved = 0;
  }
}

/** Undefined where there is none. */
async function readIfThere(path: string): Promise<StoredFeatures | 'foreign' | undefined> {
  try {
    return (await readStoredFeatures(path)) ?? 'foreign';
  } catch (error) {
    if (error instanceof BookendError && error.code === 'not-found') return undefined;
    throw error;
  }
}

function hashOf({ origin }: StoredFeatures, row: number): string {
  const { buffer, byteOffset } = origin!.hashes;
  return Buffer.from(buffer, byteOffset + row * HASH_BYTES, HASH_BYTES).toString('hex');
}

/** Of images with the same content, by the same extractor. */
function isSame(a: StoredFeatures, b: StoredFeatures): boolean {
  return (
    a.extractor === b.extractor &&
    a.origin?.identity === b.origin?.identity &&
    a.origin?.images === b.origin?.images &&
    a.logits?.classes === b.logits?.classes &&
    Buffer.compare(a.origin?.hashes ?? Buffer.of(0), b.origin?.hashes ?? Buffer.of(0)) === 0
  );
}
