import { encodeWebp, readImage, resizeImage } from '../io/image.ts';
import { escapeMarkup } from './chart-axes.ts';

/** The longer side of a large image on a page; small ones are enlarged up to it. */
export const THUMBNAIL_PIXELS = 144;
const THUMBNAIL_QUALITY = 82;

/**
 * An image as markup that loads nothing.
 *
 * @param title what it shows, as plain text
 * @throws BookendError `not-found`, `invalid-image`
 */
export async function thumbnail(
  path: string,
  title: string,
  pixels = THUMBNAIL_PIXELS,
): Promise<string> {
  const image = await readImage(path);
  const scale = Math.min(1, pixels / Math.max(image.width, image.height));
  const [width, height] = [image.width, image.height].map((extent) =>
    Math.max(1, Math.round(extent * scale)),
  );
  const webp = await encodeWebp(await resizeImage(image, width, height), THUMBNAIL_QUALITY);
  // Small images are enlarged by a whole number, so that their pixels stay alike.
  const zoom = Math.max(1, Math.floor(pixels / Math.max(width, height)));
  const text = escapeMarkup(title);
  return `<img src="data:image/webp;base64,${webp.toString('base64')}" width="${zoom * width}" height="${zoom * height}" alt="${text}" title="${text}">`;
}
