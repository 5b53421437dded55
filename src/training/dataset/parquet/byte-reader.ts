import { BookendError } from '../../../core/errors.ts';

/** Reads bytes of a Parquet file that may say anything: no step leaves the bytes that there are. */
export class ByteReader {
  readonly bytes: Uint8Array;
  /** The file, for messages. */
  readonly origin: string;
  offset = 0;

  constructor(bytes: Uint8Array, origin: string) {
    this.bytes = bytes;
    this.origin = origin;
  }

  get remaining(): number {
    return this.bytes.length - this.offset;
  }

  /** The next `count` bytes, not copied. */
  take(count: number): Uint8Array {
    if (!(count >= 0 && count <= this.remaining)) {
      throw this.fail(`it announces ${count} bytes where ${this.remaining} are left`);
    }
    const taken = this.bytes.subarray(this.offset, this.offset + count);
    this.offset += count;
    return taken;
  }

  byte(): number {
    return this.take(1)[0];
  }

  /** 32 bits, the lowest byte first. */
  uint32(): number {
    const [a, b, c, d] = this.take(4);
    return a + b * 2 ** 8 + c * 2 ** 16 + d * 2 ** 24;
  }

  /** LEB128 of at most 64 bits; what is larger than 2^53 is rounded. */
  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw this.fail('it holds a number of more than 64 bits');
  }

  /** A varint that stands for 0, -1, 1, -2, … */
  zigzag(): number {
    const value = this.varint();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  /** The error for content that is not what the format says. */
  fail(what: string): BookendError {
    return damaged(this.origin, what);
  }
}

export function damaged(origin: string, what: string): BookendError {
  return new BookendError(
    'invalid-argument',
    `${origin} is not a sound Parquet file: ${what}; write or fetch it again.`,
  );
}

export function unsupported(origin: string, what: string, instead: string): BookendError {
  return new BookendError(
    'unsupported',
    `${origin} has ${what}, which Bookend does not read; write it with ${instead}.`,
  );
}
