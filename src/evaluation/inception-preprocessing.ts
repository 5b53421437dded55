import { checkImage, type Image } from '../io/image-data.ts';
import { resamplingTaps, type Taps } from '../io/resample.ts';
import { INCEPTION_SIZE } from '../models/inception-v3.ts';

/**
 * How images become 299×299 pixels in -1…1. 'pytorch-fid': bilinear between the four nearest pixels,
 * as most published numbers are, though it skips pixels where it shrinks. 'clean-fid': Pillow's
 * antialiased bicubic, kept as floats (Parmar et al., arXiv 2104.11222). Their numbers differ.
 */
export type InceptionResizing = 'pytorch-fid' | 'clean-fid';

const SIZE = INCEPTION_SIZE;

/** Pixels for the network, channels-last: 299 × 299 × 3. */
export function inceptionPixels(image: Image, resizing: InceptionResizing): Float32Array {
  const rgb = rgbOf(image);
  if (resizing === 'pytorch-fid') {
    const taps = (extent: number) => linearTaps(extent, SIZE);
    // Bytes are brought to 0…1 first; then from 0…1 to -1…1.
    const unit = Float32Array.from(rgb.data, (byte) => byte / 255);
    return resample(unit, rgb, taps).map((value) => 2 * value - 1);
  }
  const taps = (extent: number) => resamplingTaps(extent, SIZE, 'bicubic');
  const resized = resample(Float32Array.from(rgb.data), rgb, taps);
  return resized.map((value) => (Math.min(255, Math.max(0, value)) - 128) / 128);
}

/** Gray repeated, transparency dropped: Pillow's convert('RGB'). */
function rgbOf(image: Image): Image {
  checkImage(image);
  const { width, height, channels, data } = image;
  if (channels === 3) return image;
  const rgb = new Uint8Array(width * height * 3);
  for (let pixel = 0; pixel < width * height; pixel++) {
    for (let c = 0; c < 3; c++) {
      rgb[pixel * 3 + c] = data[pixel * channels + (channels === 1 ? 0 : c)];
    }
  }
  return { width, height, channels: 3, data: rgb };
}

/**
 * The two nearest pixels of each output, as torch's interpolate has them with align_corners=False:
 * pixels are areas, and what lies before the first center is the first pixel.
 */
function linearTaps(from: number, to: number): Taps[] {
  return Array.from({ length: to }, (_, i) => {
    const center = Math.max(0, ((i + 0.5) * from) / to - 0.5);
    const start = Math.min(Math.floor(center), from - 1);
    const part = center - start;
    const isLast = start === from - 1;
    return { start, weights: isLast ? Float64Array.of(1) : Float64Array.of(1 - part, part) };
  });
}

interface Extents {
  readonly width: number;
  readonly height: number;
}

/** To 299×299 along rows, then along columns; sums in float64, each pass rounded to float32. */
function resample(
  data: Float32Array,
  { width, height }: Extents,
  tapsOf: (extent: number) => readonly Taps[],
): Float32Array {
  const rows = width === SIZE ? data : resampleColumns(data, width, height, tapsOf(width));
  return height === SIZE ? rows : resampleRows(rows, tapsOf(height));
}

function resampleColumns(
  data: Float32Array,
  width: number,
  height: number,
  taps: readonly Taps[],
): Float32Array {
  const out = new Float32Array(height * SIZE * 3);
  for (let y = 0; y < height; y++) {
    for (const [x, { start, weights }] of taps.entries()) {
      const from = (y * width + start) * 3;
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (let i = 0; i < weights.length; i++) sum += data[from + 3 * i + c] * weights[i];
        out[(y * SIZE + x) * 3 + c] = sum;
      }
    }
  }
  return out;
}

function resampleRows(data: Float32Array, taps: readonly Taps[]): Float32Array {
  const row = SIZE * 3;
  const out = new Float32Array(SIZE * row);
  for (const [y, { start, weights }] of taps.entries()) {
    for (let x = 0; x < row; x++) {
      let sum = 0;
      for (let i = 0; i < weights.length; i++) sum += data[(start + i) * row + x] * weights[i];
      out[y * row + x] = sum;
    }
  }
  return out;
}
