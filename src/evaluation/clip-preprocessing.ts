import { z } from 'zod';
import { BookendError } from '../core/errors.ts';
import type { Image } from '../io/image-data.ts';
import { type ResamplingFilter, resampleImage } from '../io/resample.ts';
import { readConfig, requireSupported } from '../models/config-schema.ts';

/** How CLIP wants its images, as preprocessor_config.json says. */
export interface ClipPreprocessing {
  /** The image is made so large: its shorter edge, or both. */
  readonly resizeTo: number | { readonly width: number; readonly height: number };
  readonly filter: ResamplingFilter;
  /** Then so much of its middle is taken. */
  readonly crop: { readonly width: number; readonly height: number };
  /** Makes bytes numbers from 0 to 1. */
  readonly rescaleFactor: number;
  /** By channel, of the rescaled numbers. */
  readonly mean: readonly number[];
  readonly deviation: readonly number[];
}

const MODEL = 'CLIPImageProcessor';

const pixels = z.int().min(1).max(8192);
const bothEdges = z.object({ height: pixels, width: pixels });
const channels = z.array(z.number()).length(3);

/** Pillow's numbers of filters. */
const FILTERS: Readonly<Record<number, ResamplingFilter>> = { 2: 'bilinear', 3: 'bicubic' };

const SUPPORTED = {
  resample: [3, 2],
  do_resize: [true],
  do_center_crop: [true],
  do_rescale: [true],
  do_normalize: [true],
};

/** Mean and deviation are those of OpenAI's training images. */
const schema = z.object({
  size: z.union([pixels, z.object({ shortest_edge: pixels }), bothEdges]).default(224),
  crop_size: z.union([pixels, bothEdges]).default(224),
  resample: z.number().default(3),
  rescale_factor: z
    .number()
    .positive()
    .default(1 / 255),
  image_mean: channels.default([0.48145466, 0.4578275, 0.40821073]),
  image_std: channels
    .refine((values) => values.every((value) => value > 0), 'not positive')
    .default([0.26862954, 0.26130258, 0.27577711]),
});

/**
 * Reads a CLIPImageProcessor's preprocessor_config.json.
 *
 * @throws BookendError `unsupported` for steps left out or added, `invalid-checkpoint` for values of
 *   the wrong type
 */
export function parseClipPreprocessing(json: unknown): ClipPreprocessing {
  const raw = readConfig(MODEL, schema, json);
  requireSupported(MODEL, json, SUPPORTED);
  const { size, crop_size: crop } = raw;
  const resizeTo = typeof size === 'object' && 'shortest_edge' in size ? size.shortest_edge : size;
  const cropTo = typeof crop === 'number' ? { width: crop, height: crop } : crop;
  const smallest = typeof resizeTo === 'number' ? resizeTo : undefined;
  const fits =
    cropTo.width <= (smallest ?? (resizeTo as { width: number }).width) &&
    cropTo.height <= (smallest ?? (resizeTo as { height: number }).height);
  if (!fits) {
    throw new BookendError(
      'unsupported',
      `${MODEL} crops ${cropTo.width}×${cropTo.height} pixels out of smaller images, which would need a border; choose another model.`,
    );
  }
  return {
    resizeTo,
    filter: FILTERS[raw.resample],
    crop: cropTo,
    rescaleFactor: raw.rescale_factor,
    mean: raw.image_mean,
    deviation: raw.image_std,
  };
}

/**
 * An RGB image as CLIP's vision transformer takes it: channels-last, crop.height × crop.width × 3.
 * Resized, cropped and normalised as transformers' CLIPImageProcessor does with Pillow.
 *
 * @throws BookendError `invalid-argument` for an image that is not RGB
 */
export function clipPixels(image: Image, options: ClipPreprocessing): Float32Array {
  if (image.channels !== 3) {
    throw new BookendError(
      'invalid-argument',
      `CLIP reads images of 3 channels, not ${image.channels}; convert the image to RGB.`,
    );
  }
  const { crop, rescaleFactor, mean, deviation } = options;
  const { width, height } = resizedExtents(image, options.resizeTo);
  const resized = resampleImage(image, width, height, options.filter);
  const [left, top] = [(width - crop.width) >> 1, (height - crop.height) >> 1];
  const row = crop.width * 3;
  const out = new Float32Array(crop.height * row);
  for (let y = 0; y < crop.height; y++) {
    const from = ((top + y) * width + left) * 3;
    for (let x = 0; x < row; x++) {
      const channel = x % 3;
      const value = resized.data[from + x] * rescaleFactor;
      out[y * row + x] = (value - mean[channel]) / deviation[channel];
    }
  }
  return out;
}

/** The longer edge keeps the proportion, cut to a whole pixel. */
function resizedExtents(
  { width, height }: Image,
  to: ClipPreprocessing['resizeTo'],
): { readonly width: number; readonly height: number } {
  if (typeof to !== 'number') return to;
  if (width <= height) return { width: to, height: Math.trunc((to * height) / width) };
  return { width: Math.trunc((to * width) / height), height: to };
}
