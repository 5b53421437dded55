import type { Image } from '../../../src/io/image-data.ts';
import { hashedIds } from '../../../src/models/random-weights.ts';

interface Size {
  readonly width: number;
  readonly height: number;
}

/** The picture that make.py redraws: noise, 0 to 255. */
export function tinyPhoto({ width, height }: Size): Image {
  const values = hashedIds('photo', [height, width, 3], 256).data;
  return { width, height, channels: 3, data: Uint8Array.from(values) };
}

/** Its mask: white in a rectangle, grays on both sides of the threshold. */
export function tinyMask({ width, height }: Size): Image {
  const data = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (y >= 27) data[y * width + x] = 128;
      else if (x < 3) data[y * width + x] = 127;
      else if (x >= 10 && y >= 5 && y < 23) data[y * width + x] = 255;
    }
  }
  return { width, height, channels: 1, data };
}
