import { ByteReader } from './byte-reader.ts';
import { copyBack } from './snappy.ts';

/**
 * Decompresses an LZ4 block (lz4_Block_format.md of lz4/lz4), which says nothing of its size.
 *
 * @param size of the result; the block must agree
 * @throws BookendError `invalid-argument`
 */
export function unpackLz4(input: Uint8Array, size: number, origin: string): Uint8Array {
  const reader = new ByteReader(input, origin);
  const output = new Uint8Array(size);
  let at = 0;
  const requireSpace = (length: number) => {
    if (length > size - at) throw reader.fail('a page is larger than it says');
  };
  while (reader.remaining > 0) {
    const token = reader.byte();
    const literals = longer(reader, token >> 4);
    requireSpace(literals);
    output.set(reader.take(literals), at);
    at += literals;
    // The last sequence is literals alone.
    if (reader.remaining === 0) break;
    const offset = reader.byte() + 256 * reader.byte();
    const length = longer(reader, token & 15) + 4;
    requireSpace(length);
    if (offset === 0 || offset > at) throw reader.fail('a page repeats what was not there');
    copyBack(output, at, offset, length);
    at += length;
  }
  if (at !== size) throw reader.fail('a page is smaller than it says');
  return output;
}

/** 15 is followed by bytes to add, up to one that is not 255. */
function longer(reader: ByteReader, start: number): number {
  let length = start;
  let byte = start === 15 ? 255 : 0;
  while (byte === 255) {
    byte = reader.byte();
    length += byte;
  }
  return length;
}
