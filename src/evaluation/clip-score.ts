import { BookendError } from '../core/errors.ts';

/** Vectors of unit length, one after the other: [count, dim]. */
export interface Embeddings {
  readonly data: Float32Array;
  readonly count: number;
  readonly dim: number;
}

/** Divides every row of `data` by its length. */
export function unitEmbeddings(data: Float32Array, dim: number): Embeddings {
  const count = data.length / dim;
  const out = new Float32Array(data.length);
  for (let i = 0; i < count; i++) {
    const row = data.subarray(i * dim, (i + 1) * dim);
    const length = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0));
    for (let j = 0; j < dim; j++) out[i * dim + j] = row[j] / length;
  }
  return { data: out, count, dim };
}

/** Cosine of row `i` of one and row `j` of the other, -1 to 1. */
export function cosine(a: Embeddings, i: number, b: Embeddings, j: number): number {
  let sum = 0;
  for (let k = 0; k < a.dim; k++) sum += a.data[i * a.dim + k] * b.data[j * b.dim + k];
  return sum;
}

/**
 * How well each image shows its text: 100 · max(cos, 0), from 0 to 100; 20 to 35 is usual for images
 * that do. Hessel et al. ("CLIPScore", 2021, equation 1) multiply by 2.5 instead, which is this
 * divided by 40.
 *
 * @throws BookendError `invalid-argument` unless there is one text for each image
 */
export function clipScores(images: Embeddings, texts: Embeddings): number[] {
  if (images.count !== texts.count || images.dim !== texts.dim) {
    throw new BookendError(
      'invalid-argument',
      `CLIP scores need a text for each image; there are ${images.count} images of ${images.dim} features and ${texts.count} texts of ${texts.dim}.`,
    );
  }
  return Array.from({ length: images.count }, (_, i) =>
    Math.max(0, 100 * cosine(images, i, texts, i)),
  );
}

/**
 * What transformers calls `logits_per_image`: every image with every text, [images][texts], cosines
 * times the factor that the model was trained with.
 */
export function clipLogits(images: Embeddings, texts: Embeddings, factor: number): number[][] {
  return Array.from({ length: images.count }, (_, i) =>
    Array.from({ length: texts.count }, (_, j) => factor * cosine(images, i, texts, j)),
  );
}
