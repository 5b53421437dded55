import { BookendError } from '../core/errors.ts';

/** 8-bit sRGB pixels, rows from the top, channels interleaved. */
export interface Image {
  readonly width: number;
  readonly height: number;
  /** 1 grayscale, 3 RGB, 4 RGBA. */
  readonly channels: 1 | 3 | 4;
  readonly data: Uint8Array;
}

/** No image file that passes the limit on pixels is larger. */
export const MAX_IMAGE_BYTES = 512_000_000;

/** @throws BookendError `invalid-image` when the data does not fill width × height × channels */
export function checkImage(image: Image): void {
  const { width, height, channels, data } = image;
  const sound =
    Number.isInteger(width) &&
    Number.isInteger(height) &&
    width > 0 &&
    height > 0 &&
    (channels === 1 || channels === 3 || channels === 4) &&
    data.length === width * height * channels;
  if (!sound) {
    throw new BookendError(
      'invalid-image',
      `An image of ${width}×${height} pixels and ${channels} channels has ${data.length} bytes; give width × height × channels, with 1, 3 or 4 channels.`,
    );
  }
}

/**
 * Pixels as the VAE takes them: channels-last [1, height, width, channels], 0…255 mapped to [-1, 1].
 */
export function floatsOfImage(image: Image): Float32Array {
  checkImage(image);
  return Float32Array.from(image.data, (byte) => 2 * Math.fround(byte / 255) - 1);
}

/**
 * The inverse: values are clamped to [-1, 1] and rounded, halves to even, as diffusers does.
 *
 * @param values channels-last, one image
 * @throws BookendError `non-finite` for NaN, `invalid-image` for a length that does not fit
 */
export function imageOfFloats(
  values: Float32Array,
  width: number,
  height: number,
  channels: 1 | 3 | 4 = 3,
): Image {
  const data = new Uint8ClampedArray(values.length);
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (Number.isNaN(value)) {
      throw new BookendError(
        'non-finite',
        'The image holds NaN, so the model computed nonsense; try another precision or check its weights.',
      );
    }
    const unit = Math.min(1, Math.max(0, Math.fround(Math.fround(value / 2) + 0.5)));
    // A clamped array rounds halves to even by itself.
    data[i] = Math.fround(unit * 255);
  }
  const image: Image = { width, height, channels, data: new Uint8Array(data.buffer) };
  checkImage(image);
  return image;
}

/** Luma by ITU-R BT.601 in 16-bit fixed point, which is what Pillow computes. */
export function grayscale(image: Image): Image {
  checkImage(image);
  const { width, height, channels, data } = image;
  if (channels === 1) return image;
  const gray = new Uint8Array(width * height);
  for (let i = 0, from = 0; i < gray.length; i++, from += channels) {
    const [red, green, blue] = [data[from], data[from + 1], data[from + 2]];
    gray[i] = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
  }
  return { width, height, channels: 1, data: gray };
}

/** A mask as 0 (keep) and 1 (repaint, from mid-gray up), [1, height, width, 1]. */
export function maskOfImage(image: Image): Float32Array {
  return Float32Array.from(grayscale(image).data, (byte) => (byte >= 127.5 ? 1 : 0));
}
