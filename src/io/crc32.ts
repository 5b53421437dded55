/** One entry per byte: its remainder modulo the polynomial, bits reversed (0xEDB88320). */
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let remainder = byte;
  for (let bit = 0; bit < 8; bit++) {
    remainder = remainder & 1 ? (remainder >>> 1) ^ 0xedb88320 : remainder >>> 1;
  }
  return remainder;
});

/**
 * The checksum of PNG chunks (specification, third edition, section 5.5) and ZIP files, 0 to 2^32 − 1. Node has
 * it as `zlib.crc32` from 20.15 on; Bookend runs on older ones.
 *
 * @param before the checksum of what comes before `bytes`
 */
export function crc32(bytes: Uint8Array, before = 0): number {
  let remainder = ~before;
  for (const byte of bytes) remainder = (remainder >>> 8) ^ TABLE[(remainder ^ byte) & 0xff];
  return ~remainder >>> 0;
}
