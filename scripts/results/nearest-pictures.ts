import { forEachRowOfDistances } from '../../src/evaluation/distances.ts';
import type { FeatureRows } from '../../src/evaluation/feature-extractor.ts';

/**
 * For each image, 1 where of all training pictures that of its prompt is the nearest, else 0.
 *
 * @param images `each` of every prompt, one after another
 * @param pictures one of every prompt, in the same order
 */
export async function nearestPictures(
  images: FeatureRows,
  pictures: FeatureRows,
  each: number,
): Promise<number[]> {
  const count = images.data.length / images.dimensions;
  const best = new Float64Array(count).fill(Number.POSITIVE_INFINITY);
  const nearest = new Int32Array(count);
  await forEachRowOfDistances(images, pictures, (i, j, squared) => {
    for (const [at, value] of squared.entries()) {
      if (value >= best[i]) continue;
      best[i] = value;
      nearest[i] = j + at;
    }
  });
  return Array.from(nearest, (picture, i) => (picture === Math.floor(i / each) ? 1 : 0));
}
