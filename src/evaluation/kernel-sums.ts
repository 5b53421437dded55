import type { FeatureRows } from './feature-extractor.ts';
import { forEachRowOfProducts } from './row-products.ts';

/** Rows, and subsets of them, each as ascending indices. */
export interface ChosenRows {
  readonly rows: FeatureRows;
  readonly subsets: readonly Uint32Array[];
}

/**
 * The sum of k(x, y) = (x·y ÷ d + 1)³ over the pairs of each subset of `a` with the one of `b` of the
 * same number. Subsets of few rows share most pairs, which are then multiplied once for all of them;
 * where sets are so large that they share few, each subset is multiplied by itself. Products are
 * float32, kernels and sums float64.
 *
 * @param pairs `others` leaves out those of a row with itself, where `a` and `b` are one set
 */
export async function kernelSums(
  a: ChosenRows,
  b: ChosenRows,
  pairs: 'all' | 'others',
): Promise<number[]> {
  const ofSubsets = a.subsets.reduce((n, { length }, i) => n + length * b.subsets[i].length, 0);
  if (countOf(a.rows) * countOf(b.rows) <= ofSubsets) return sharedSums(a, b, pairs);
  const sums: number[] = [];
  for (const i of a.subsets.keys()) {
    sums.push(...(await sharedSums(subsetAlone(a, i), subsetAlone(b, i), pairs)));
  }
  return sums;
}

function countOf({ data, dimensions }: FeatureRows): number {
  return data.length / dimensions;
}

/** Rows of one subset only, all of them chosen. */
function subsetAlone({ rows: { data, dimensions }, subsets }: ChosenRows, i: number): ChosenRows {
  const subset = subsets[i];
  const copy = new Float32Array(subset.length * dimensions);
  for (const [to, from] of subset.entries()) {
    copy.set(data.subarray(from * dimensions, (from + 1) * dimensions), to * dimensions);
  }
  return { rows: { data: copy, dimensions }, subsets: [subset.map((_, to) => to)] };
}

async function sharedSums(
  a: ChosenRows,
  b: ChosenRows,
  pairs: 'all' | 'others',
): Promise<number[]> {
  const { dimensions } = a.rows;
  const subsetsOf = subsetsByRow(a);
  const sums = a.subsets.map(() => 0);
  let kernels = new Float64Array(0);
  await forEachRowOfProducts(a.rows, b.rows, (i, j, products) => {
    if (kernels.length !== products.length) kernels = new Float64Array(products.length);
    for (let at = 0; at < products.length; at++) {
      const base = products[at] / dimensions + 1;
      kernels[at] = base * base * base;
    }
    if (pairs === 'others' && i >= j && i < j + kernels.length) kernels[i - j] = 0;
    for (const subset of subsetsOf[i]) sums[subset] += sumOfChosen(kernels, b.subsets[subset], j);
  });
  return sums;
}

/** Which subsets each row is in. */
function subsetsByRow({ rows, subsets }: ChosenRows): number[][] {
  const byRow = Array.from({ length: countOf(rows) }, (): number[] => []);
  for (const [subset, chosen] of subsets.entries()) {
    for (const row of chosen) byRow[row].push(subset);
  }
  return byRow;
}

/** Of `values`, which are those of rows j, j + 1, …, the sum over the rows that are chosen. */
function sumOfChosen(values: Float64Array, chosen: Uint32Array, j: number): number {
  const end = firstFrom(chosen, j + values.length);
  let sum = 0;
  for (let at = firstFrom(chosen, j); at < end; at++) sum += values[chosen[at] - j];
  return sum;
}

/** Index of the first of ascending numbers that is `value` or more. */
function firstFrom(ascending: Uint32Array, value: number): number {
  let [low, high] = [0, ascending.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ascending[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
