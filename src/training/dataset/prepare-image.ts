import { BookendError } from '../../core/errors.ts';
import { readImage, resizeImage } from '../../io/image.ts';
import { checkImage, type Image } from '../../io/image-data.ts';

/** In pixels, whole numbers. */
export interface ImageSize {
  readonly width: number;
  readonly height: number;
}

/**
 * Reads an image and brings it to exactly `size`: the largest rectangle of that shape is cut from
 * its middle and resampled.
 *
 * @param source path or content
 * @returns RGB
 * @throws BookendError `invalid-image`, `not-found`, `io`, or `invalid-argument` for the size
 */
export async function readTrainingImage(
  source: string | Uint8Array,
  size: ImageSize,
): Promise<Image> {
  const image = await readImage(source);
  return resizeImage(centreCrop(image, size), size.width, size.height);
}

/**
 * The largest rectangle in the middle of `image` whose sides are in the proportion of `size`, to
 * within a pixel.
 *
 * @throws BookendError `invalid-argument` unless the size is positive
 */
export function centreCrop(image: Image, size: ImageSize): Image {
  checkImage(image);
  if (!(size.width > 0 && size.height > 0)) {
    throw new BookendError(
      'invalid-argument',
      `An image cannot be cropped to the shape of ${size.width}×${size.height}; give positive sides.`,
    );
  }
  const proportion = size.width / size.height;
  const width = clamp(Math.round(image.height * proportion), image.width);
  const height = clamp(Math.round(image.width / proportion), image.height);
  if (width === image.width && height === image.height) return image;
  const left = Math.floor((image.width - width) / 2);
  const top = Math.floor((image.height - height) / 2);
  const { channels } = image;
  const data = new Uint8Array(width * height * channels);
  for (let y = 0; y < height; y++) {
    const from = ((top + y) * image.width + left) * channels;
    data.set(image.data.subarray(from, from + width * channels), y * width * channels);
  }
  return { width, height, channels, data };
}

function clamp(extent: number, largest: number): number {
  return Math.min(Math.max(extent, 1), largest);
}
