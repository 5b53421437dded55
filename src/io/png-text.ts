import { inflateSync } from 'node:zlib';
import { BookendError } from '../core/errors.ts';
import { crc32 } from './crc32.ts';
import { MAX_IMAGE_BYTES } from './image-data.ts';
import { PNG_SIGNATURE, type PngText } from './png.ts';
import { readWhole } from './read-file.ts';

/** An inflated text chunk may be this long; more is a decompression bomb, not a prompt. */
const MAX_TEXT_BYTES = 4_000_000;

/**
 * The text chunks of a PNG; where a keyword repeats, the last one counts.
 *
 * @param source path or content
 * @throws BookendError `invalid-image` for what is not a sound PNG, `not-found`, `io`
 */
export async function readPngText(source: string | Uint8Array): Promise<PngText> {
  const name = typeof source === 'string' ? source : 'The image';
  const bytes =
    typeof source === 'string'
      ? await readWhole(source, MAX_IMAGE_BYTES, 'invalid-image')
      : Buffer.from(source);
  if (!bytes.subarray(0, PNG_SIGNATURE.length).equals(PNG_SIGNATURE)) {
    throw new BookendError('invalid-image', `${name} is not a PNG; pass one.`);
  }
  const text = new Map<string, string>();
  for (let at = PNG_SIGNATURE.length; ; ) {
    const { type, data, end } = readChunk(bytes, at, name);
    if (type === 'IEND') return Object.fromEntries(text);
    const entry = decodeText(type, data, name);
    if (entry) text.set(...entry);
    at = end;
  }
}

function readChunk(bytes: Buffer, at: number, name: string) {
  const length = at + 12 <= bytes.length ? bytes.readUInt32BE(at) : 0;
  const end = at + 12 + length;
  if (end > bytes.length) {
    throw broken(name, `it ends inside the chunk at byte ${at}`);
  }
  if (crc32(bytes.subarray(at + 4, end - 4)) !== bytes.readUInt32BE(end - 4)) {
    throw broken(name, `the checksum of the chunk at byte ${at} is wrong`);
  }
  const type = bytes.toString('latin1', at + 4, at + 8);
  return { type, data: bytes.subarray(at + 8, end - 4), end };
}

function decodeText(type: string, data: Buffer, name: string): [string, string] | undefined {
  if (type !== 'tEXt' && type !== 'zTXt' && type !== 'iTXt') return undefined;
  const keyword = upToNul(data, 0, name);
  const rest = data.subarray(keyword.length + 1);
  const key = keyword.toString('latin1');
  if (type === 'tEXt') return [key, rest.toString('latin1')];
  if (type === 'zTXt') return [key, inflate(rest.subarray(1), name).toString('latin1')];
  const language = upToNul(rest, 2, name);
  const translated = upToNul(rest, 2 + language.length + 1, name);
  const value = rest.subarray(2 + language.length + 1 + translated.length + 1);
  return [key, (rest[0] === 1 ? inflate(value, name) : value).toString('utf8')];
}

function upToNul(data: Buffer, from: number, name: string): Buffer {
  const end = data.indexOf(0, from);
  if (end < 0) throw broken(name, 'a text chunk lacks the byte that ends its keyword');
  return data.subarray(from, end);
}

function inflate(data: Buffer, name: string): Buffer {
  try {
    return inflateSync(data, { maxOutputLength: MAX_TEXT_BYTES });
  } catch (error) {
    throw new BookendError(
      'invalid-image',
      `${name} has a text chunk that does not inflate to at most ${MAX_TEXT_BYTES} bytes; save it again.`,
      { cause: error },
    );
  }
}

function broken(name: string, fault: string): BookendError {
  return new BookendError('invalid-image', `${name} is not a sound PNG: ${fault}; save it again.`);
}
