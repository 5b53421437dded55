import { ByteReader, damaged, unsupported } from './byte-reader.ts';
import { unpackPage } from './compression.ts';
import { readDeltaLengths, readDeltaStrings } from './delta.ts';
import type { LeafColumn } from './footer.ts';
import { readHybrid } from './levels.ts';
import { readThrift, type ThriftStruct } from './thrift.ts';

/** What a page's header says of it. */
export interface PageHeader {
  readonly kind: 'data' | 'data-2' | 'dictionary' | 'other';
  /** Bytes on disk, after the header. */
  readonly packed: number;
  /** Bytes in memory. */
  readonly unpacked: number;
  /** Of a flat column: rows. */
  readonly values: number;
  readonly encoding: number;
  /** Bytes of levels in front of a page of the second kind, which are not compressed. */
  readonly levels: number;
  readonly isCompressed: boolean;
}

/** A column's value of one row; null where there is none. */
export type ByteValue = Uint8Array | null;

/** Beyond what writers make of a page: larger ones are told to be made again. */
const MAX_PAGE_BYTES = 2 ** 29;

const KINDS = ['data', 'other', 'dictionary', 'data-2'] as const;
const PLAIN = 0;
const PLAIN_DICTIONARY = 2;
const DELTA_LENGTHS = 6;
const DELTA_STRINGS = 7;
const RLE_DICTIONARY = 8;

/** @param reader at a page's header; left behind it */
export function readPageHeader(reader: ByteReader): PageHeader {
  const header = readThrift(reader);
  const kind = KINDS[header.count(1)] ?? 'other';
  const unpacked = header.count(2);
  const packed = header.count(3);
  if (unpacked > MAX_PAGE_BYTES) throw reader.fail(`a page is to have ${unpacked} bytes`);
  const common = { kind, packed, unpacked, levels: 0, isCompressed: true };
  if (kind === 'other') return { ...common, values: 0, encoding: PLAIN };
  const details = header.struct(kind === 'data' ? 5 : kind === 'data-2' ? 8 : 7);
  const values = details.count(1);
  if (kind !== 'data-2') return { ...common, values, encoding: details.count(2) };
  return { ...common, ...secondKind(reader, details, unpacked, packed), values };
}

function secondKind(reader: ByteReader, details: ThriftStruct, unpacked: number, packed: number) {
  const levels = details.count(5) + details.count(6);
  if (levels > Math.min(unpacked, packed)) throw reader.fail('the levels of a page exceed it');
  const isCompressed = details.has(7) ? details.boolean(7) : true;
  return { encoding: details.count(4), levels, isCompressed };
}

/** The values that a column's pages refer to by number. */
export async function readDictionary(
  packed: Uint8Array,
  header: PageHeader,
  codec: number,
  origin: string,
): Promise<readonly Uint8Array[]> {
  if (header.encoding !== PLAIN && header.encoding !== PLAIN_DICTIONARY) {
    throw unsupported(origin, `a dictionary in encoding ${header.encoding}`, 'plain values');
  }
  const bytes = await unpackPage(packed, codec, header.unpacked, origin);
  return plainValues(new ByteReader(bytes, origin), header.values);
}

/**
 * The values of a data page of a column of byte strings, one for each row.
 *
 * @param dictionary absent where the column has none
 * @throws BookendError `invalid-argument`; `unsupported` for encodings and codecs
 */
export async function readDataPage(
  packed: Uint8Array,
  header: PageHeader,
  codec: number,
  leaf: LeafColumn,
  dictionary: readonly Uint8Array[] | undefined,
  origin: string,
): Promise<ByteValue[]> {
  const { levels, unpacked, values, isCompressed } = header;
  const body = packed.subarray(levels);
  const bytes = isCompressed ? await unpackPage(body, codec, unpacked - levels, origin) : body;
  const reader = new ByteReader(bytes, origin);
  const definitions = readDefinitions(packed, reader, header, leaf);
  const isThere = (row: number) => !definitions || definitions[row] === leaf.maxDefinition;
  let present = 0;
  for (let row = 0; row < values; row++) if (isThere(row)) present++;
  const found = presentValues(reader, header, present, dictionary);
  let next = 0;
  return Array.from({ length: values }, (_, row) => (isThere(row) ? found[next++] : null));
}

/** Whether the values of a data page are numbers of a dictionary's. */
export function usesDictionary({ encoding }: PageHeader): boolean {
  return encoding === PLAIN_DICTIONARY || encoding === RLE_DICTIONARY;
}

/** How much of the path to each value is there; undefined where none of it may be null. */
function readDefinitions(
  packed: Uint8Array,
  reader: ByteReader,
  { kind, levels, values }: PageHeader,
  { maxDefinition }: LeafColumn,
): Uint32Array | undefined {
  if (maxDefinition === 0) return undefined;
  const width = 32 - Math.clz32(maxDefinition);
  const bytes = kind === 'data' ? reader.take(reader.uint32()) : packed.subarray(0, levels);
  return readHybrid(new ByteReader(bytes, reader.origin), width, values);
}

function presentValues(
  reader: ByteReader,
  header: PageHeader,
  count: number,
  dictionary: readonly Uint8Array[] | undefined,
): readonly Uint8Array[] {
  if (count === 0) return [];
  if (header.encoding === PLAIN) return plainValues(reader, count);
  if (header.encoding === DELTA_LENGTHS) return readDeltaLengths(reader, count);
  if (header.encoding === DELTA_STRINGS) return readDeltaStrings(reader, count, MAX_PAGE_BYTES);
  if (!usesDictionary(header)) {
    const what = `values in the encoding number ${header.encoding}`;
    throw unsupported(reader.origin, what, 'plain or dictionary encoding');
  }
  if (!dictionary) throw damaged(reader.origin, 'a page refers to a dictionary that is not there');
  const numbers = readHybrid(reader, reader.byte(), count);
  return Array.from(numbers, (number) => {
    const value = dictionary[number];
    if (value) return value;
    throw reader.fail(`a page refers to value ${number} of ${dictionary.length}`);
  });
}

/** Each after its length. */
function plainValues(reader: ByteReader, count: number): Uint8Array[] {
  // Every value takes four bytes at least.
  if (count * 4 > reader.remaining) throw reader.fail(`a page announces ${count} values`);
  const values: Uint8Array[] = [];
  for (let i = 0; i < count; i++) values.push(reader.take(reader.uint32()));
  return values;
}
