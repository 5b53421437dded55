import type { ByteReader } from './byte-reader.ts';

/**
 * `count` whole numbers of `width` bits each in the format's hybrid of runs and packed bits
 * (Encodings.md of apache/parquet-format). Runs may announce more than there is place for.
 *
 * @param width 0 to 32
 * @throws BookendError `invalid-argument`
 */
export function readHybrid(reader: ByteReader, width: number, count: number): Uint32Array {
  if (width > 32) throw reader.fail(`it packs numbers of ${width} bits`);
  const output = new Uint32Array(count);
  if (width === 0) return output;
  let at = 0;
  while (at < count) {
    const head = reader.varint();
    const length = Math.floor(head / 2);
    if (head % 2 === 0) {
      const value = littleEndian(reader.take(Math.ceil(width / 8)));
      const end = Math.min(count, at + length);
      output.fill(value, at, end);
      at = end;
      continue;
    }
    // Groups of eight, the last of which some writers cut short.
    const end = Math.min(count, at + 8 * length);
    const announced = reader.take(Math.min(length * width, reader.remaining));
    if (announced.length * 8 < (end - at) * width)
      throw reader.fail('its packed numbers end early');
    unpackBits(announced, width, output.subarray(at, end));
    at = end;
  }
  return output;
}

/** Numbers of `width` bits, the lowest first; as many as `output` has place for. */
export function unpackBits(bytes: Uint8Array, width: number, output: Uint32Array): void {
  const modulus = 2 ** width;
  // Fewer than 40 bits at any time, which a double holds exactly.
  let buffer = 0;
  let bits = 0;
  let next = 0;
  for (let i = 0; i < output.length; i++) {
    while (bits < width) {
      buffer += bytes[next++] * 2 ** bits;
      bits += 8;
    }
    output[i] = buffer % modulus;
    buffer = Math.floor(buffer / modulus);
    bits -= width;
  }
}

function littleEndian(bytes: Uint8Array): number {
  return bytes.reduceRight((value, byte) => value * 256 + byte, 0);
}
