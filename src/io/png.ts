import { deflateSync } from 'node:zlib';
import { BookendError } from '../core/errors.ts';
import { writeAtomically } from './atomic-write.ts';
import { crc32 } from './crc32.ts';
import { checkImage, type Image } from './image-data.ts';

/** The first bytes of every PNG (specification, third edition, section 5.2). */
export const PNG_SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

/** Color type by number of channels: grayscale, RGB, RGBA. */
const COLOR_TYPES: Record<number, number> = { 1: 0, 3: 2, 4: 6 };

/** Text by keyword; `parameters` is where AUTOMATIC1111 and its readers keep the settings. */
export type PngText = Readonly<Record<string, string>>;

/**
 * Encodes 8-bit grayscale, RGB or RGBA. Text that is Latin-1 becomes tEXt, other text iTXt.
 *
 * @throws BookendError `invalid-image` for an image whose data does not fit its size
 */
export function encodePng(image: Image, text: PngText = {}): Buffer {
  checkImage(image);
  const header = Buffer.alloc(13);
  header.writeUInt32BE(image.width, 0);
  header.writeUInt32BE(image.height, 4);
  header[8] = 8;
  header[9] = COLOR_TYPES[image.channels];
  const chunks = [PNG_SIGNATURE, chunk('IHDR', header)];
  for (const [keyword, value] of Object.entries(text)) chunks.push(textChunk(keyword, value));
  chunks.push(chunk('IDAT', deflateSync(filterRows(image))), chunk('IEND', Buffer.alloc(0)));
  return Buffer.concat(chunks);
}

/**
 * Writes a PNG atomically.
 *
 * @throws BookendError `io` or `invalid-image`
 */
export async function writePng(path: string, image: Image, text: PngText = {}): Promise<void> {
  const bytes = encodePng(image, text);
  await writeAtomically(path, (handle) => handle.writeFile(bytes));
}

function chunk(type: string, data: Uint8Array): Buffer {
  const bytes = Buffer.alloc(12 + data.length);
  bytes.writeUInt32BE(data.length, 0);
  bytes.write(type, 4, 'latin1');
  bytes.set(data, 8);
  bytes.writeUInt32BE(crc32(bytes.subarray(4, 8 + data.length)), 8 + data.length);
  return bytes;
}

function textChunk(keyword: string, value: string): Buffer {
  if (!/^[\x21-\x7e](?:[\x20-\x7e]{0,77}[\x21-\x7e])?$/.test(keyword) || value.includes('\0')) {
    throw new BookendError(
      'invalid-argument',
      `PNG text under ${JSON.stringify(keyword.slice(0, 80))} cannot be written: use a keyword of 1 to 79 printable ASCII characters and a text without NUL.`,
    );
  }
  // Latin-1 here means the printable range, as the specification asks of tEXt.
  if (/^[\n\t\x20-\x7e\xa0-\xff]*$/.test(value)) {
    return chunk('tEXt', Buffer.from(`${keyword}\0${value}`, 'latin1'));
  }
  // After the keyword: not compressed, no method, no language, no translated keyword.
  const prefix = Buffer.from(`${keyword}\0\0\0\0\0`, 'latin1');
  return chunk('iTXt', Buffer.concat([prefix, Buffer.from(value, 'utf8')]));
}

/** Each row gets the filter whose residuals have the smallest sum of magnitudes (section 12.7). */
function filterRows(image: Image): Uint8Array {
  const { width, height, channels, data } = image;
  const rowBytes = width * channels;
  const out = new Uint8Array(height * (rowBytes + 1));
  const trial = new Uint8Array(rowBytes);
  for (let y = 0; y < height; y++) {
    const row = data.subarray(y * rowBytes, (y + 1) * rowBytes);
    const above = y > 0 ? data.subarray((y - 1) * rowBytes, y * rowBytes) : undefined;
    let best = Number.POSITIVE_INFINITY;
    for (let filter = 0; filter < 5; filter++) {
      const cost = applyFilter(filter, row, above, channels, trial);
      if (cost >= best) continue;
      best = cost;
      out[y * (rowBytes + 1)] = filter;
      out.set(trial, y * (rowBytes + 1) + 1);
    }
  }
  return out;
}

/** @returns the sum of the residuals' magnitudes, residuals taken as signed bytes */
function applyFilter(
  filter: number,
  row: Uint8Array,
  above: Uint8Array | undefined,
  channels: number,
  out: Uint8Array,
): number {
  let cost = 0;
  for (let i = 0; i < row.length; i++) {
    const left = i >= channels ? row[i - channels] : 0;
    const up = above ? above[i] : 0;
    const upLeft = above && i >= channels ? above[i - channels] : 0;
    const residual = (row[i] - predict(filter, left, up, upLeft)) & 0xff;
    out[i] = residual;
    cost += residual < 128 ? residual : 256 - residual;
  }
  return cost;
}

function predict(filter: number, left: number, up: number, upLeft: number): number {
  if (filter === 0) return 0;
  if (filter === 1) return left;
  if (filter === 2) return up;
  if (filter === 3) return (left + up) >> 1;
  const estimate = left + up - upLeft;
  const fromLeft = Math.abs(estimate - left);
  const fromUp = Math.abs(estimate - up);
  const fromUpLeft = Math.abs(estimate - upLeft);
  if (fromLeft <= fromUp && fromLeft <= fromUpLeft) return left;
  return fromUp <= fromUpLeft ? up : upLeft;
}
