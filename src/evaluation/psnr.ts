import { BookendError } from '../core/errors.ts';

/** Pixels of 8 bits a channel; an Image is one. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  readonly data: Uint8Array;
}

/** Mean of the squared differences over all pixels and channels, in units of 8-bit steps squared. */
export function meanSquaredError(a: Pixels, b: Pixels): number {
  if (a.width !== b.width || a.height !== b.height || a.channels !== b.channels) {
    throw new BookendError(
      'invalid-argument',
      `An image of ${a.width}×${a.height}×${a.channels} cannot be compared with one of ${b.width}×${b.height}×${b.channels}; give two of one size.`,
    );
  }
  let sum = 0;
  for (let i = 0; i < a.data.length; i++) sum += (a.data[i] - b.data[i]) ** 2;
  return sum / a.data.length;
}

/** Peak signal-to-noise ratio in dB, 10 · log10(255² ÷ mean squared error); Infinity when equal. */
export function psnr(a: Pixels, b: Pixels): number {
  return 10 * Math.log10(255 ** 2 / meanSquaredError(a, b));
}
