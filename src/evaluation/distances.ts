import type { FeatureRows } from './feature-extractor.ts';
import { Pauses } from './pauses.ts';
import { forEachRowOfProducts } from './row-products.ts';

/**
 * Calls `visit` with the squared Euclidean distances of row i of `a` to rows j, j + 1, … of `b`, for
 * every i and, piece by piece, every j; the array is another one's at the next call. ‖x - y‖² = ‖x‖²
 * + ‖y‖² - 2 x·y, with both sets moved so that `a` has zero mean, which leaves distances as they are
 * and cancels little. The event loop turns meanwhile.
 *
 * @param a as `countRows` has checked them; `b` too, of as many dimensions
 */
export async function forEachRowOfDistances(
  a: FeatureRows,
  b: FeatureRows,
  visit: (i: number, j: number, squared: Float64Array) => void,
): Promise<void> {
  const mean = await meanRow(a);
  const [left, right] = [await moved(a, mean), await moved(b, mean)];
  const [normsA, normsB] = [left.squaredNorms, right.squaredNorms];
  let squared = new Float64Array(0);
  await forEachRowOfProducts(left, right, (i, j, products) => {
    if (squared.length !== products.length) squared = new Float64Array(products.length);
    for (let at = 0; at < products.length; at++) {
      squared[at] = Math.max(0, normsA[i] + normsB[j + at] - 2 * products[at]);
    }
    visit(i, j, squared);
  });
}

async function meanRow({ data, dimensions }: FeatureRows): Promise<Float64Array> {
  const rows = data.length / dimensions;
  const pauses = new Pauses();
  const mean = new Float64Array(dimensions);
  for (let from = 0; from < data.length; from += dimensions) {
    for (let i = 0; i < dimensions; i++) mean[i] += data[from + i];
    if (pauses.isDue) await pauses.take();
  }
  return mean.map((sum) => sum / rows);
}

/** Rows less `mean`, and their squared lengths. */
async function moved(
  { data, dimensions }: FeatureRows,
  mean: Float64Array,
): Promise<FeatureRows & { readonly squaredNorms: Float64Array }> {
  const pauses = new Pauses();
  const out = new Float32Array(data.length);
  const squaredNorms = new Float64Array(data.length / dimensions);
  for (let row = 0, at = 0; row < squaredNorms.length; row++) {
    let sum = 0;
    for (let i = 0; i < dimensions; i++, at++) {
      out[at] = data[at] - mean[i];
      sum += out[at] * out[at];
    }
    squaredNorms[row] = sum;
    if (pauses.isDue) await pauses.take();
  }
  return { data: out, dimensions, squaredNorms };
}

/** Euclidean distance of two rows. */
export function rowDistance(a: FeatureRows, i: number, b: FeatureRows, j: number): number {
  const { dimensions } = a;
  let sum = 0;
  for (let k = 0; k < dimensions; k++) {
    sum += (a.data[i * dimensions + k] - b.data[j * dimensions + k]) ** 2;
  }
  return Math.sqrt(sum);
}
