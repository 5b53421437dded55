import { dotProducts } from './dot-products.ts';
import { countRows } from './feature-extractor.ts';

/** Rows that are compared with each other at once. */
const BLOCK = 1024;

/** Rows of features, [count, dimensions]. */
export interface FeatureRows {
  readonly data: Float32Array;
  readonly dimensions: number;
}

/**
 * Calls `visit` with the squared Euclidean distance of every row of `a` to every row of `b`, in
 * blocks. ‖x - y‖² = ‖x‖² + ‖y‖² - 2 x·y, with both sets moved so that `a` has zero mean, which
 * leaves distances as they are and cancels little.
 */
export async function forEachSquaredDistance(
  a: FeatureRows,
  b: FeatureRows,
  visit: (i: number, j: number, squared: number) => void,
): Promise<void> {
  const { dimensions } = a;
  const [left, right] = centered(a, b);
  const [rowsA, rowsB] = [squaredNorms(left, dimensions), squaredNorms(right, dimensions)];
  for (let i = 0; i < rowsA.length; i += BLOCK) {
    const blockA = left.subarray(i * dimensions, (i + BLOCK) * dimensions);
    for (let j = 0; j < rowsB.length; j += BLOCK) {
      const blockB = right.subarray(j * dimensions, (j + BLOCK) * dimensions);
      const products = await dotProducts(blockA, blockB, dimensions);
      const columns = blockB.length / dimensions;
      for (let at = 0; at < products.length; at++) {
        const [row, column] = [i + Math.floor(at / columns), j + (at % columns)];
        visit(row, column, Math.max(0, rowsA[row] + rowsB[column] - 2 * products[at]));
      }
    }
  }
}

function centered(a: FeatureRows, b: FeatureRows): [Float32Array, Float32Array] {
  const { dimensions } = a;
  const rows = countRows(a.data, dimensions);
  countRows(b.data, b.dimensions);
  const mean = new Float64Array(dimensions);
  for (let i = 0; i < a.data.length; i++) mean[i % dimensions] += a.data[i] / rows;
  const moved = (data: Float32Array) => data.map((value, i) => value - mean[i % dimensions]);
  return [moved(a.data), moved(b.data)];
}

function squaredNorms(data: Float32Array, dimensions: number): Float64Array {
  const norms = new Float64Array(data.length / dimensions);
  for (let i = 0; i < data.length; i++) norms[Math.floor(i / dimensions)] += data[i] ** 2;
  return norms;
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
