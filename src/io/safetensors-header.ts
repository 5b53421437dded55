import { BookendError } from '../core/errors.ts';
import type { Shape } from '../core/shape.ts';
import { findKeyFault } from './duplicate-keys.ts';

/** Element types a safetensors file may name; which of them can be loaded is another matter. */
export type StoredDType = keyof typeof STORED_BYTES;

const STORED_BYTES = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  F8_E4M3: 1,
  F8_E5M2: 1,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U64: 8,
  U32: 4,
  U16: 2,
  U8: 1,
  BOOL: 1,
} as const;

export interface TensorEntry {
  readonly dtype: StoredDType;
  readonly shape: Shape;
  /** From the start of the file, not of the data section. */
  readonly byteOffset: number;
  readonly byteLength: number;
}

export interface SafetensorsHeader {
  readonly entries: ReadonlyMap<string, TensorEntry>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** The reference implementation's limit; it keeps a hostile length from reserving memory. */
export const MAX_HEADER_BYTES = 100_000_000;

/** Bytes before the JSON text: its length as a little-endian 64-bit integer. */
export const LENGTH_BYTES = 8;

/**
 * Reads the JSON's length from the first 8 bytes and checks it against the file.
 *
 * @throws BookendError `invalid-checkpoint` when the header cannot lie inside the file
 */
export function parseHeaderLength(prefix: Uint8Array, fileSize: number, file: string): number {
  if (fileSize < LENGTH_BYTES || prefix.length < LENGTH_BYTES) {
    throw invalid(file, `it has ${fileSize} bytes, fewer than the 8 of the header's length`);
  }
  const view = new DataView(prefix.buffer, prefix.byteOffset, LENGTH_BYTES);
  const length = view.getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES)) {
    throw invalid(
      file,
      `its header claims ${length} bytes, more than the ${MAX_HEADER_BYTES} allowed`,
    );
  }
  if (LENGTH_BYTES + Number(length) > fileSize) {
    throw invalid(file, `its header claims ${length} bytes, but the file ends after ${fileSize}`);
  }
  return Number(length);
}

/**
 * Parses the JSON text of a header and checks every entry: known dtypes, shapes that fill their
 * byte ranges, ranges that follow each other without gap or overlap and end where the file ends.
 *
 * @throws BookendError `invalid-checkpoint` naming `file` and the first thing that is wrong
 */
export function parseHeader(json: Uint8Array, fileSize: number, file: string): SafetensorsHeader {
  const fields = Object.entries(parseObject(json, file));
  const dataStart = LENGTH_BYTES + json.length;
  const entries = new Map<string, TensorEntry>();
  let metadata: Record<string, string> = {};
  for (const [name, value] of fields) {
    if (name === '__metadata__') metadata = parseMetadata(value, file);
    else entries.set(name, parseEntry(name, value, dataStart, file));
  }
  checkCoverage(entries, dataStart, fileSize, file);
  return { entries, metadata };
}

function parseObject(json: Uint8Array, file: string): Record<string, unknown> {
  if (json[0] !== 0x7b) throw invalid(file, 'its header does not start with "{"');
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(json);
  } catch {
    throw invalid(file, 'its header is not text in UTF-8');
  }
  const fault = findKeyFault(text);
  if (fault !== undefined) throw invalid(file, `its header ${fault}`);
  try {
    return JSON.parse(text);
  } catch {
    throw invalid(file, 'its header is not JSON');
  }
}

function parseMetadata(value: unknown, file: string): Record<string, string> {
  if (!isObject(value) || !Object.values(value).every((item) => typeof item === 'string')) {
    throw invalid(file, 'its __metadata__ is not a table of strings');
  }
  return value as Record<string, string>;
}

function parseEntry(name: string, value: unknown, dataStart: number, file: string): TensorEntry {
  if (!isObject(value)) throw invalid(file, `the entry ${quote(name)} is not an object`);
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== 'string' || !Object.hasOwn(STORED_BYTES, dtype)) {
    throw invalid(file, `tensor ${quote(name)} has the unknown dtype ${quote(String(dtype))}`);
  }
  if (!isCountList(shape)) {
    throw invalid(file, `tensor ${quote(name)} has a shape that is no list of whole numbers`);
  }
  if (!isCountList(offsets) || offsets.length !== 2 || offsets[0] > offsets[1]) {
    throw invalid(file, `tensor ${quote(name)} has data_offsets that are no [begin, end]`);
  }
  const stored = dtype as StoredDType;
  const expected = shape.reduce((size, extent) => size * extent, STORED_BYTES[stored]);
  const byteLength = offsets[1] - offsets[0];
  // A product past 2^53 is inexact or infinite, and so can never pass for a length inside a file.
  if (!Number.isSafeInteger(expected) || expected !== byteLength) {
    throw invalid(
      file,
      `tensor ${quote(name)} of shape [${shape.join(', ').slice(0, 80)}] in ${dtype} needs ${expected} bytes, but its data_offsets span ${byteLength}`,
    );
  }
  return { dtype: stored, shape, byteOffset: dataStart + offsets[0], byteLength };
}

function checkCoverage(
  entries: ReadonlyMap<string, TensorEntry>,
  dataStart: number,
  fileSize: number,
  file: string,
): void {
  const inOrder = [...entries].sort(
    ([, a], [, b]) => a.byteOffset - b.byteOffset || a.byteLength - b.byteLength,
  );
  let end = dataStart;
  for (const [name, entry] of inOrder) {
    if (entry.byteOffset !== end) {
      const fault =
        entry.byteOffset < end ? 'overlaps the one before it' : 'leaves a gap before it';
      throw invalid(file, `the data of tensor ${quote(name)} ${fault}`);
    }
    end += entry.byteLength;
  }
  if (end !== fileSize) {
    throw invalid(file, `its tensors end at byte ${end}, but the file has ${fileSize} bytes`);
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCountList(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}

/** Names come from the file: shown escaped and shortened. */
function quote(name: string): string {
  return JSON.stringify(name.length > 100 ? `${name.slice(0, 100)}…` : name);
}

function invalid(file: string, fault: string): BookendError {
  return new BookendError(
    'invalid-checkpoint',
    `${file} is not a sound safetensors file: ${fault}; fetch or export it again.`,
  );
}
