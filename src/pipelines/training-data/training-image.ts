import { BookendError } from '../../core/errors.ts';
import { floatsOfImage, grayscale } from '../../io/image-data.ts';
import type { CaptionedImages } from '../../training/dataset/captioned-images.ts';
import { type ImageSize, readTrainingImage } from '../../training/dataset/prepare-image.ts';
import type { PixelBatch } from '../image-autoencoder.ts';

/**
 * An image of a data set as a network of `channels` input channels reads it.
 *
 * @throws BookendError as `readTrainingImage` does, with the image's name; `unsupported`
 */
export async function trainingPixels(
  images: CaptionedImages,
  index: number,
  size: ImageSize,
  channels: number,
): Promise<PixelBatch> {
  const file = await images.read(index);
  const image = await readTrainingImage(file, size).catch((error) => {
    throw named(error, images.nameOf(index));
  });
  if (channels !== 1 && channels !== 3) {
    throw new BookendError(
      'unsupported',
      `The model takes images of ${channels} channels; Bookend trains those of 3 (RGB) or 1 (gray).`,
    );
  }
  const data = floatsOfImage(channels === 1 ? grayscale(image) : image);
  return { batch: 1, ...size, channels, data };
}

/** An image read from memory has no name in its errors. */
function named(error: unknown, name: string): unknown {
  if (!(error instanceof BookendError) || error.code !== 'invalid-image') return error;
  const message = error.message.replace(/^The image/, name);
  return new BookendError(error.code, message, { cause: error });
}
