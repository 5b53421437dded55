import type { Image } from '../../src/io/image-data.ts';

/** What an image is like as a whole, on the scale of 0 to 255. */
export interface Colours {
  readonly red: number;
  readonly green: number;
  readonly blue: number;
  /** Deviation of the luma over the pixels. */
  readonly contrast: number;
  /** Mean of the largest less the smallest channel. */
  readonly saturation: number;
}

/** Luma of Rec. 601. */
const LUMA = [0.299, 0.587, 0.114];

/** @param image of three channels */
export function coloursOf({ data, channels }: Image): Colours {
  const sums = [0, 0, 0];
  let saturation = 0;
  let luma = 0;
  let squares = 0;
  const pixels = data.length / channels;
  for (let at = 0; at < data.length; at += channels) {
    const rgb = [data[at], data[at + 1], data[at + 2]];
    for (let c = 0; c < 3; c++) sums[c] += rgb[c];
    saturation += Math.max(...rgb) - Math.min(...rgb);
    const y = LUMA[0] * rgb[0] + LUMA[1] * rgb[1] + LUMA[2] * rgb[2];
    luma += y;
    squares += y * y;
  }
  const [red, green, blue] = sums.map((sum) => sum / pixels);
  const contrast = Math.sqrt(Math.max(0, squares / pixels - (luma / pixels) ** 2));
  return { red, green, blue, contrast, saturation: saturation / pixels };
}
