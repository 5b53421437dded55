import { ByteReader } from './byte-reader.ts';

/**
 * Decompresses Snappy's raw format (format_description.txt of google/snappy).
 *
 * @param size of the result; the stream must agree
 * @throws BookendError `invalid-argument`
 */
export function unpackSnappy(input: Uint8Array, size: number, origin: string): Uint8Array {
  const reader = new ByteReader(input, origin);
  if (reader.varint() !== size) throw reader.fail('a page says two different sizes');
  const output = new Uint8Array(size);
  let at = 0;
  const requireSpace = (length: number) => {
    if (length > size - at) throw reader.fail('a page is larger than it says');
  };
  while (reader.remaining > 0) {
    const tag = reader.byte();
    if ((tag & 3) === 0) {
      const length = literalLength(reader, tag);
      requireSpace(length);
      output.set(reader.take(length), at);
      at += length;
      continue;
    }
    const { length, offset } = readCopy(reader, tag);
    requireSpace(length);
    if (offset === 0 || offset > at) throw reader.fail('a page repeats what was not there');
    copyBack(output, at, offset, length);
    at += length;
  }
  if (at !== size) throw reader.fail('a page is smaller than it says');
  return output;
}

function literalLength(reader: ByteReader, tag: number): number {
  const short = tag >> 2;
  return short < 60 ? short + 1 : littleEndian(reader.take(short - 59)) + 1;
}

function readCopy(reader: ByteReader, tag: number): { length: number; offset: number } {
  if ((tag & 3) === 1) {
    return { length: ((tag >> 2) & 7) + 4, offset: (tag >> 5) * 256 + reader.byte() };
  }
  const offset = littleEndian(reader.take((tag & 3) === 2 ? 2 : 4));
  return { length: (tag >> 2) + 1, offset };
}

/** What lies `offset` back may run on into what is being written: a pattern, repeated. */
export function copyBack(output: Uint8Array, at: number, offset: number, length: number): void {
  if (offset >= length) {
    output.copyWithin(at, at - offset, at - offset + length);
    return;
  }
  for (let i = 0; i < length; i++) output[at + i] = output[at + i - offset];
}

function littleEndian(bytes: Uint8Array): number {
  return bytes.reduceRight((value, byte) => value * 256 + byte, 0);
}
