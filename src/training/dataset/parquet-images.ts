import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { BookendError, throwIfAborted } from '../../core/errors.ts';
import { hashFiles, hashText } from '../../io/file-hash.ts';
import { MAX_IMAGE_BYTES } from '../../io/image-data.ts';
import type { CaptionedImages } from './captioned-images.ts';
import type { Captions } from './metadata.ts';
import { ParquetTable } from './parquet-table.ts';

export interface ParquetOptions {
  /** `ignored`: none is looked for, and all are empty; for models without a prompt. */
  readonly captions?: Captions;
  /** Column with the images: binary, or a structure with `bytes`. Default: `image`, then `img`. */
  readonly imageColumn?: string;
  /** Column with the captions. Default: `text`, then `caption`. */
  readonly captionColumn?: string;
  readonly signal?: AbortSignal;
}

/** Where a row lies. */
interface Place {
  readonly table: ParquetTable;
  /** Of the file. */
  readonly hash: string;
  readonly group: number;
  /** In its row group. */
  readonly row: number;
  /** In its file. */
  readonly number: number;
}

const MAX_CAPTIONS_BYTES = 256_000_000;

/**
 * The rows of Parquet files as one data set, in the order of the files. Captions are read now,
 * images when they are asked for: a page at a time, never a whole file.
 *
 * @param paths at least one
 * @throws BookendError `not-found`, `io`, `aborted`; `invalid-argument` or `unsupported` for content
 * that does not fit
 */
export async function openParquetImages(
  paths: readonly string[],
  options: ParquetOptions = {},
): Promise<CaptionedImages> {
  const tables: ParquetTable[] = [];
  const close = async () => {
    for (const table of tables) await table.close();
  };
  try {
    const places: Place[] = [];
    const captions: string[] = [];
    for (const path of paths) {
      throwIfAborted(options.signal);
      const table = await ParquetTable.open(path, options);
      tables.push(table);
      const hash = await hashFiles([path]);
      for (const place of placesOf(table, hash)) places.push(place);
      for (const caption of await captionsOf(table, options)) captions.push(caption);
      requireFitting(captions, path);
    }
    if (places.length === 0) {
      throw new BookendError(
        'invalid-argument',
        `${paths.join(', ')} has no row; give a file with images.`,
      );
    }
    return new ParquetImages(places, captions, close);
  } catch (error) {
    await close();
    throw error;
  }
}

class ParquetImages implements CaptionedImages {
  readonly identity: string;
  readonly close: () => Promise<void>;
  readonly #places: readonly Place[];
  readonly #captions: readonly string[];

  constructor(places: readonly Place[], captions: readonly string[], close: () => Promise<void>) {
    this.#places = places;
    this.#captions = captions;
    this.close = close;
    const all = createHash('sha256');
    for (const [i, caption] of captions.entries()) {
      all.update(JSON.stringify([this.contentHash(i), caption]));
    }
    this.identity = all.digest('hex');
  }

  get count(): number {
    return this.#places.length;
  }

  caption(index: number): string {
    return this.#captions[index];
  }

  /** The file and the place in it stand for the image, which is not read for its hash. */
  contentHash(index: number): string {
    const { hash, number, table } = this.#places[index];
    return hashText(JSON.stringify([hash, table.imageName, number]));
  }

  nameOf(index: number): string {
    const { table, number } = this.#places[index];
    return `Row ${number} of ${table.path}`;
  }

  async read(index: number): Promise<Uint8Array> {
    const { table, group, row } = this.#places[index];
    const bytes = await table.image(group, row);
    if (bytes && bytes.length > 0 && bytes.length <= MAX_IMAGE_BYTES) return bytes;
    throw new BookendError(
      'invalid-argument',
      `${this.nameOf(index)} has ${bytes ? `${bytes.length} bytes` : 'nothing'} in its column ${table.imageName} where an image file was expected; store the content of PNG, JPEG or WebP files.`,
    );
  }
}

function placesOf(table: ParquetTable, hash: string): Place[] {
  const places: Place[] = [];
  for (const [group, rows] of table.groupRows.entries()) {
    for (let row = 0; row < rows; row++) {
      places.push({ table, hash, group, row, number: places.length });
    }
  }
  return places;
}

async function captionsOf(
  table: ParquetTable,
  { captions, signal }: ParquetOptions,
): Promise<string[]> {
  const all: string[] = [];
  for (const [group, rows] of table.groupRows.entries()) {
    // Lets the event loop hear of an interrupt.
    await setImmediate();
    throwIfAborted(signal);
    if (captions === 'ignored') for (let i = 0; i < rows; i++) all.push('');
    else for (const caption of await table.captions(group, all.length)) all.push(caption);
  }
  return all;
}

/** A few bytes of a hostile file can stand for any number of captions. */
function requireFitting(captions: readonly string[], path: string): void {
  let characters = 0;
  for (const { length } of captions) characters += length;
  if (characters <= MAX_CAPTIONS_BYTES) return;
  throw new BookendError(
    'invalid-argument',
    `The captions up to those of ${path} have ${characters} characters, more than the ${MAX_CAPTIONS_BYTES} that a data set may have; use fewer files at once.`,
  );
}
