import type { ByteReader } from './byte-reader.ts';
import { unpackBits } from './levels.ts';

const MAX_BLOCK = 2 ** 16;

/** Byte strings whose lengths are told first (Encodings.md, DELTA_LENGTH_BYTE_ARRAY). */
export function readDeltaLengths(reader: ByteReader, count: number): Uint8Array[] {
  const lengths = readDeltas(reader, count);
  return Array.from(lengths, (length) => reader.take(length));
}

/**
 * Byte strings that begin as the one before them (Encodings.md, DELTA_BYTE_ARRAY).
 *
 * @param maxBytes of all together: a few bytes can stand for any number of long strings
 */
export function readDeltaStrings(reader: ByteReader, count: number, maxBytes: number) {
  const prefixes = readDeltas(reader, count);
  const suffixes = readDeltaLengths(reader, count);
  const values: Uint8Array[] = [];
  let previous = new Uint8Array();
  let made = 0;
  for (const [i, suffix] of suffixes.entries()) {
    const prefix = prefixes[i];
    if (prefix > previous.length || prefix < 0) {
      throw reader.fail(`a value begins as the ${prefix} first bytes of ${previous.length}`);
    }
    made += prefix + suffix.length;
    if (made > maxBytes) throw reader.fail(`the values of a page have more than ${maxBytes} bytes`);
    const value = new Uint8Array(prefix + suffix.length);
    value.set(previous.subarray(0, prefix));
    value.set(suffix, prefix);
    values.push(value);
    previous = value;
  }
  return values;
}

/** 32-bit numbers by their differences (Encodings.md, DELTA_BINARY_PACKED). */
function readDeltas(reader: ByteReader, count: number): Int32Array {
  const block = reader.varint();
  const parts = reader.varint();
  const size = block / parts;
  if (!(block <= MAX_BLOCK && parts > 0 && size > 0 && size % 32 === 0)) {
    throw reader.fail(`it packs differences in ${parts} parts of ${block}`);
  }
  const announced = reader.varint();
  if (announced !== count) throw reader.fail(`a page has ${announced} values of ${count}`);
  const output = new Int32Array(count);
  let value = reader.zigzag();
  if (count > 0) output[0] = value;
  const residuals = new Uint32Array(size);
  for (let at = 1; at < count; ) {
    const smallest = reader.zigzag();
    for (const width of reader.take(parts)) {
      // Parts behind the last value have widths and nothing else.
      if (at >= count) break;
      if (width > 32) throw reader.fail(`it packs numbers of ${width} bits`);
      unpackBits(reader.take((width * size) / 8), width, residuals);
      for (let i = 0; i < size && at < count; i++) {
        // Sums go around at 32 bits.
        value = (value + smallest + residuals[i]) | 0;
        output[at++] = value;
      }
    }
  }
  return output;
}
