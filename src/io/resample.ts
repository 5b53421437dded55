import { BookendError } from '../core/errors.ts';
import { checkImage, type Image } from './image-data.ts';

/** How far a pixel's influence reaches: one pixel with straight edges, or two with a cubic spline. */
export type ResamplingFilter = 'bilinear' | 'bicubic';

/** What one output pixel along an axis is made of: inputs `start`, `start` + 1, … with weights. */
export interface Taps {
  readonly start: number;
  /** Sum to 1. */
  readonly weights: Float64Array;
}

interface Filter {
  readonly support: number;
  at(x: number): number;
}

const FILTERS: Readonly<Record<ResamplingFilter, Filter>> = {
  bilinear: { support: 1, at: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: { support: 2, at: (x) => keys(Math.abs(x)) },
};

/** Convolution of R. Keys, "Cubic convolution interpolation", 1981, with a = -1/2. */
function keys(x: number): number {
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

/**
 * The taps of every output along an axis of `from` pixels made `to` pixels long. Shrinking widens the
 * filter by the same factor, so that every input pixel counts.
 */
export function resamplingTaps(from: number, to: number, filter: ResamplingFilter): Taps[] {
  const { support, at } = FILTERS[filter];
  const scale = from / to;
  const widening = Math.max(scale, 1);
  const reach = support * widening;
  return Array.from({ length: to }, (_, i) => {
    const center = (i + 0.5) * scale;
    const start = Math.max(0, Math.trunc(center - reach + 0.5));
    const end = Math.min(from, Math.trunc(center + reach + 0.5));
    const weights = Float64Array.from({ length: end - start }, (_, x) =>
      at((x + start - center + 0.5) / widening),
    );
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return { start, weights: weights.map((weight) => weight / sum) };
  });
}

/** Weights in fixed point have this many bits after the point, as in Pillow. */
const FRACTION_BITS = 22;

/**
 * Resamples to `width` × `height`, rows first, then columns, with the fixed-point arithmetic that
 * Pillow's `Image.resize` has for 8 bits: the same bytes.
 *
 * @throws BookendError `invalid-argument` for extents that are not whole numbers from 1 to 16384
 */
export function resampleImage(
  image: Image,
  width: number,
  height: number,
  filter: ResamplingFilter,
): Image {
  checkImage(image);
  if (![width, height].every((n) => Number.isInteger(n) && n >= 1 && n <= 16384)) {
    throw new BookendError(
      'invalid-argument',
      `Cannot resample an image to ${width}×${height}; give whole numbers from 1 to 16384.`,
    );
  }
  return resampleRows(resampleColumns(image, width, filter), height, filter);
}

/** To `width` columns. */
function resampleColumns(image: Image, width: number, filter: ResamplingFilter): Image {
  if (image.width === width) return image;
  const { height, channels, data } = image;
  const out = new Uint8Array(width * height * channels);
  for (const [x, { start, weights }] of resamplingTaps(image.width, width, filter).entries()) {
    const fixed = fixedPoint(weights);
    for (let y = 0; y < height; y++) {
      const from = (y * image.width + start) * channels;
      const to = (y * width + x) * channels;
      for (let c = 0; c < channels; c++) {
        out[to + c] = weighted(data, from + c, channels, fixed);
      }
    }
  }
  return { width, height, channels, data: out };
}

/** To `height` rows. */
function resampleRows(image: Image, height: number, filter: ResamplingFilter): Image {
  if (image.height === height) return image;
  const { width, channels, data } = image;
  const row = width * channels;
  const out = new Uint8Array(height * row);
  for (const [y, { start, weights }] of resamplingTaps(image.height, height, filter).entries()) {
    const fixed = fixedPoint(weights);
    for (let x = 0; x < row; x++) out[y * row + x] = weighted(data, start * row + x, row, fixed);
  }
  return { width, height, channels, data: out };
}

function fixedPoint(weights: Float64Array): Int32Array {
  // Halves away from zero.
  return Int32Array.from(weights, (weight) =>
    Math.trunc(weight * 2 ** FRACTION_BITS + (weight < 0 ? -0.5 : 0.5)),
  );
}

function weighted(data: Uint8Array, at: number, stride: number, weights: Int32Array): number {
  let sum = 1 << (FRACTION_BITS - 1);
  for (let i = 0; i < weights.length; i++) sum += data[at + i * stride] * weights[i];
  return Math.min(255, Math.max(0, sum >> FRACTION_BITS));
}
