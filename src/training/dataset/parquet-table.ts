import { isUtf8 } from 'node:buffer';
import { BookendError } from '../../core/errors.ts';
import { type Captions, MAX_CAPTION_BYTES } from './metadata.ts';
import { ByteColumn } from './parquet/byte-column.ts';
import { columnName, type LeafColumn, nullCount } from './parquet/footer.ts';
import { ParquetFile } from './parquet/parquet-file.ts';

export interface TableColumns {
  readonly captions?: Captions;
  readonly imageColumn?: string;
  readonly captionColumn?: string;
}

/** A Parquet file of images, as Hugging Face datasets writes it. */
export class ParquetTable {
  /** The column with the images. */
  readonly imageName: string;
  readonly #file: ParquetFile;
  readonly #images: ByteColumn;
  readonly #captions: ByteColumn | undefined;

  private constructor(file: ParquetFile, image: LeafColumn, caption: LeafColumn | undefined) {
    this.#file = file;
    this.imageName = columnName(image.path);
    this.#images = new ByteColumn(file, image);
    this.#captions = caption && new ByteColumn(file, caption);
  }

  /** @throws BookendError `not-found`, `io`, `invalid-argument`, `unsupported` */
  static async open(path: string, columns: TableColumns): Promise<ParquetTable> {
    const file = await ParquetFile.open(path);
    try {
      const image = findColumn(file, 'images', columns.imageColumn, ['image', 'img']);
      requireAllThere(file, image);
      const caption =
        columns.captions === 'ignored'
          ? undefined
          : findColumn(file, 'captions', columns.captionColumn, ['text', 'caption']);
      return new ParquetTable(file, image, caption);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  get path(): string {
    return this.#file.path;
  }

  /** Rows of each row group. */
  get groupRows(): number[] {
    return this.#file.footer.rowGroups.map(({ rows }) => rows);
  }

  /** The content of an image file, or null. @throws BookendError as `ByteColumn` does */
  image(group: number, row: number): Promise<Uint8Array | null> {
    return this.#images.value(group, row);
  }

  /**
   * Captions of a row group, without white space at their ends; what is null has the empty one.
   *
   * @param firstRow of the row group in the file, for messages
   * @throws BookendError as `ByteColumn` does, and `invalid-argument` for what is no text
   */
  async captions(group: number, firstRow: number): Promise<string[]> {
    const values = (await this.#captions?.values(group)) ?? [];
    // Rows that refer to one value of a dictionary share its text.
    const texts = new Map<Uint8Array, string>();
    return values.map((value, row) => {
      if (value === null) return '';
      const text = texts.get(value) ?? captionOf(value, `Row ${firstRow + row} of ${this.path}`);
      texts.set(value, text);
      return text;
    });
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

function captionOf(bytes: Uint8Array, name: string): string {
  if (bytes.length <= MAX_CAPTION_BYTES && isUtf8(bytes)) {
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8').trim();
  }
  throw new BookendError(
    'invalid-argument',
    `${name} has a caption of ${bytes.length} bytes that is no text in UTF-8 of at most ${MAX_CAPTION_BYTES}; correct it, or name another column.`,
  );
}

/** The column called `wanted`, or the first that there is of `usual`. */
function findColumn(
  { path, footer }: ParquetFile,
  what: string,
  wanted: string | undefined,
  usual: readonly string[],
): LeafColumn {
  for (const name of wanted === undefined ? usual : [wanted]) {
    const fits = ({ path: parts, repeated }: LeafColumn) =>
      // An image is a structure of its content and the path that it came from; lists are refused
      // where they are read.
      [name, `${name}.bytes`].includes(parts.join('.')) || (repeated && parts[0] === name);
    const found = footer.leaves.find(fits);
    if (found) return found;
  }
  const there = [...new Set(footer.leaves.map((leaf) => columnName([leaf.path[0]])))]
    .slice(0, 20)
    .join(', ');
  throw new BookendError(
    'invalid-argument',
    `${path} has the columns ${there || '(none)'} and no ${(wanted === undefined ? usual : [wanted]).join(' or ')}; name the one with the ${what}.`,
  );
}

/** Told now where the file says it, rather than after hours of training. */
function requireAllThere({ path, footer }: ParquetFile, image: LeafColumn): void {
  for (const group of footer.rowGroups) {
    const missing = nullCount(group, image);
    if (missing === undefined || missing === 0) continue;
    throw new BookendError(
      'invalid-argument',
      `${path} has ${missing} rows with nothing in its column ${columnName(image.path)}; store the content of the image files, not paths alone.`,
    );
  }
}
