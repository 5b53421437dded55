import sharp, { type Sharp } from 'sharp';
import { BookendError } from '../core/errors.ts';
import { checkImage, type Image, MAX_IMAGE_BYTES } from './image-data.ts';
import { readWhole } from './read-file.ts';

export interface ReadImageOptions {
  /** 3 drops transparency, as diffusers does; 4 adds it where there is none. Default 3. */
  readonly channels?: 3 | 4;
  /** Refuse larger images before decoding them. Default 2^26 (8192 × 8192). */
  readonly maxPixels?: number;
  /** What messages call content that comes without a path; default 'The image'. */
  readonly name?: string;
}

const MAX_PIXELS = 2 ** 26;
const FORMATS = new Set(['png', 'jpeg', 'webp']);

/**
 * Reads a PNG, JPEG or WebP, turned upright as its EXIF data says and converted to 8-bit sRGB. Of an
 * animation, the first frame. Anything damaged is refused rather than filled in.
 *
 * @param source path or content
 * @throws BookendError `invalid-image`, `not-found` or `io`
 */
export async function readImage(
  source: string | Uint8Array,
  options: ReadImageOptions = {},
): Promise<Image> {
  const name = typeof source === 'string' ? source : (options.name ?? 'The image');
  const bytes = typeof source === 'string' ? await readImageFile(source) : source;
  const channels = options.channels ?? 3;
  const maxPixels = options.maxPixels ?? MAX_PIXELS;
  try {
    // The check below is the limit; sharp's own would only say it less well.
    const decoder = sharp(bytes, { failOn: 'error', limitInputPixels: false });
    await checkBeforeDecoding(decoder, name, maxPixels);
    const upright = decoder.autoOrient().toColourspace('srgb');
    const shaped = channels === 4 ? upright.ensureAlpha() : upright.removeAlpha();
    return await toImage(shaped, channels);
  } catch (error) {
    if (error instanceof BookendError) throw error;
    const reason = error instanceof Error ? firstLine(error.message) : 'it cannot be decoded';
    throw new BookendError(
      'invalid-image',
      `${name} is not a sound PNG, JPEG or WebP (${reason}); save it again.`,
      { cause: error },
    );
  }
}

/** The content of an image file, as it is. @throws BookendError `invalid-image` for one too large, `not-found`, `io` */
export function readImageFile(path: string): Promise<Buffer> {
  return readWhole(path, MAX_IMAGE_BYTES, 'invalid-image');
}

async function checkBeforeDecoding(decoder: Sharp, name: string, maxPixels: number): Promise<void> {
  const { format, width, height } = await decoder.metadata();
  if (!FORMATS.has(format)) {
    throw new BookendError(
      'invalid-image',
      `${name} is an image of the format ${format}; convert it to PNG, JPEG or WebP.`,
    );
  }
  if (width * height > maxPixels) {
    throw new BookendError(
      'invalid-image',
      `${name} has ${width}×${height} pixels, more than the ${maxPixels} allowed; scale it down.`,
    );
  }
}

/**
 * Resamples with a Lanczos window of 3 to exactly `width` × `height`.
 *
 * @throws BookendError `invalid-argument` for sizes that are not whole numbers from 1 to 16384
 */
export async function resizeImage(image: Image, width: number, height: number): Promise<Image> {
  checkImage(image);
  const sound = [width, height].every((n) => Number.isInteger(n) && n >= 1 && n <= 16384);
  if (!sound || width * height > MAX_PIXELS) {
    throw new BookendError(
      'invalid-argument',
      `Cannot resize an image to ${width}×${height}; give whole numbers from 1 to 16384 and at most ${MAX_PIXELS} pixels.`,
    );
  }
  if (image.width === width && image.height === height) return image;
  const raw = { width: image.width, height: image.height, channels: image.channels };
  const resized = sharp(image.data, { raw }).resize(width, height, {
    fit: 'fill',
    kernel: 'lanczos3',
  });
  const space = image.channels === 1 ? resized.toColourspace('b-w') : resized;
  return toImage(space, image.channels);
}

/** For pages that show many: lossy, about a tenth of a PNG's size. @param quality 1 to 100 */
export function encodeWebp(image: Image, quality: number): Promise<Buffer> {
  checkImage(image);
  const raw = { width: image.width, height: image.height, channels: image.channels };
  return sharp(image.data, { raw }).webp({ quality }).toBuffer();
}

async function toImage(pixels: Sharp, channels: 1 | 3 | 4): Promise<Image> {
  const { data, info } = await pixels.raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true });
  const plain = new Uint8Array(data.buffer, data.byteOffset, data.length);
  const image: Image = { width: info.width, height: info.height, channels, data: plain };
  checkImage(image);
  return image;
}

/** libvips reports every library's complaint on a line of its own. */
function firstLine(message: string): string {
  return message.split('\n', 1)[0].trim().replace(/\.$/, '').slice(0, 200);
}
