import { MemoryCache } from '../memory-cache.ts';
import { ByteReader, damaged, unsupported } from './byte-reader.ts';
import { type ColumnChunk, columnChunk, columnName, type LeafColumn } from './footer.ts';
import {
  type ByteValue,
  type PageHeader,
  readDataPage,
  readDictionary,
  readPageHeader,
  usesDictionary,
} from './pages.ts';
import type { ParquetFile } from './parquet-file.ts';

interface Page {
  readonly header: PageHeader;
  /** Of its content, in bytes from the start of the file. */
  readonly offset: number;
  /** In its row group. */
  readonly firstRow: number;
}

interface Chunk extends ColumnChunk {
  readonly dictionary: Page | undefined;
  /** Data pages in the order of their rows, none empty. */
  readonly pages: readonly Page[];
}

/** Unpacked pages that stay in memory, in bytes: neighbouring rows are mostly in one. */
const PAGES_IN_MEMORY = 2 ** 26;

/** Pages of a column without a row: the dictionary, and what some writers leave behind. */
const MAX_EMPTY_PAGES = 1000;

/** Lengths to try to read a page's header in: most have some tens of bytes, and some statistics. */
const HEADER_BYTES = [2 ** 9, 2 ** 13, 2 ** 17, 2 ** 22];

/** A column of byte strings, one a row or none, read page by page. */
export class ByteColumn {
  readonly #file: ParquetFile;
  readonly #leaf: LeafColumn;
  readonly #chunks = new Map<number, Promise<Chunk>>();
  readonly #pages = new MemoryCache<readonly ByteValue[]>(PAGES_IN_MEMORY, (values) =>
    values.reduce((sum, value) => sum + (value?.length ?? 0) + 64, 64),
  );

  /** @throws BookendError `unsupported` for lists and for values that are no byte strings */
  constructor(file: ParquetFile, leaf: LeafColumn) {
    const name = columnName(leaf.path);
    if (leaf.repeated) {
      throw unsupported(file.path, `lists in its column ${name}`, 'one value in each row');
    }
    if (leaf.type !== 'BYTE_ARRAY') {
      throw unsupported(file.path, `${leaf.type} in its column ${name}`, 'strings or binary data');
    }
    this.#file = file;
    this.#leaf = leaf;
  }

  /** The value of a row of a row group. @throws BookendError `invalid-argument`, `unsupported`, `io` */
  async value(group: number, row: number): Promise<ByteValue> {
    const chunk = await this.#chunk(group);
    const page = pageOf(chunk.pages, row);
    const values = await this.#values(group, chunk, page);
    return values[row - page.firstRow];
  }

  /** All values of a row group. @throws BookendError as `value` does */
  async values(group: number): Promise<ByteValue[]> {
    if (this.#file.footer.rowGroups[group].rows === 0) return [];
    const chunk = await this.#chunk(group);
    const values: ByteValue[] = [];
    for (const page of chunk.pages) {
      for (const value of await this.#values(group, chunk, page)) values.push(value);
    }
    return values;
  }

  #chunk(group: number): Promise<Chunk> {
    const known = this.#chunks.get(group) ?? this.#findPages(group);
    this.#chunks.set(group, known);
    return known;
  }

  /** Goes from header to header. */
  async #findPages(group: number): Promise<Chunk> {
    const { path, dataEnd, footer } = this.#file;
    const rowGroup = footer.rowGroups[group];
    const chunk = columnChunk(rowGroup, this.#leaf, dataEnd, path);
    const end = chunk.offset + chunk.length;
    const pages: Page[] = [];
    let dictionary: Page | undefined;
    let row = 0;
    let visited = 0;
    for (let at = chunk.offset; at < end && row < rowGroup.rows; ) {
      if (++visited > rowGroup.rows + MAX_EMPTY_PAGES) throw damaged(path, 'most pages are empty');
      const { header, length } = await this.#header(at, end);
      const page = { header, offset: at + length, firstRow: row };
      at = page.offset + header.packed;
      if (at > end) throw damaged(path, 'a page is larger than its column');
      if (header.kind === 'dictionary') dictionary = page;
      else if (header.kind !== 'other' && header.values > 0) {
        pages.push(page);
        row += header.values;
      }
    }
    if (row !== rowGroup.rows) {
      throw damaged(path, `${columnName(this.#leaf.path)} has ${row} rows of ${rowGroup.rows}`);
    }
    return { ...chunk, dictionary, pages };
  }

  async #header(at: number, end: number): Promise<{ header: PageHeader; length: number }> {
    for (const [i, bytes] of HEADER_BYTES.entries()) {
      const length = Math.min(bytes, end - at);
      const reader = new ByteReader(await this.#file.read(at, length), this.#file.path);
      try {
        return { header: readPageHeader(reader), length: reader.offset };
      } catch (error) {
        // It may only have been cut short.
        if (length === end - at || i + 1 === HEADER_BYTES.length) throw error;
      }
    }
    throw damaged(this.#file.path, 'a page has no header');
  }

  #values(group: number, chunk: Chunk, page: Page): Promise<readonly ByteValue[]> {
    return this.#pages.get(`${group} ${page.offset}`, async () => {
      const { path } = this.#file;
      // The dictionary of a column that was given up is large, and of no use to its later pages.
      const dictionary = usesDictionary(page.header)
        ? await this.#dictionary(group, chunk)
        : undefined;
      const packed = await this.#file.read(page.offset, page.header.packed);
      return readDataPage(packed, page.header, chunk.codec, this.#leaf, dictionary, path);
    });
  }

  async #dictionary(group: number, chunk: Chunk): Promise<readonly Uint8Array[] | undefined> {
    const { dictionary: page, codec } = chunk;
    if (!page) return undefined;
    const values = await this.#pages.get(`${group} dictionary`, async () => {
      const packed = await this.#file.read(page.offset, page.header.packed);
      return readDictionary(packed, page.header, codec, this.#file.path);
    });
    return values as readonly Uint8Array[];
  }
}

/** The last one that begins at `row` or before. */
function pageOf(pages: readonly Page[], row: number): Page {
  let [low, high] = [0, pages.length - 1];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (pages[middle].firstRow <= row) low = middle;
    else high = middle - 1;
  }
  return pages[low];
}
