import { BookendError } from '../core/errors.ts';
import { forEachRowOfDistances } from './distances.ts';
import { countRows, type FeatureRows } from './feature-extractor.ts';

export interface PrecisionRecall {
  /** Share of the generated images that lie in the manifold of the real ones: fidelity. */
  readonly precision: number;
  /** Share of the real images that lie in the manifold of the generated ones: coverage. */
  readonly recall: number;
  readonly neighbours: number;
}

/**
 * Improved precision and recall (Kynkäänniemi et al., arXiv 1904.06991, equation 1): the manifold of
 * a set is the union of balls around its images, each reaching to its k-th nearest neighbour in the
 * set. The paper takes 50,000 images of each kind; with fewer, balls are larger, and both shares are
 * only comparable with those of as many images.
 *
 * @param neighbours k; the paper's 3 by default
 * @throws BookendError `invalid-argument` for sets of k images or fewer
 */
export async function precisionRecall(
  real: FeatureRows,
  generated: FeatureRows,
  { neighbours = 3 }: { readonly neighbours?: number } = {},
): Promise<PrecisionRecall> {
  const counts = [real, generated].map(({ data, dimensions }) => countRows(data, dimensions));
  const isSound = Number.isInteger(neighbours) && neighbours >= 1;
  if (!isSound || Math.min(...counts) <= neighbours || real.dimensions !== generated.dimensions) {
    throw new BookendError(
      'invalid-argument',
      `Precision and recall cannot take ${neighbours} neighbours in ${counts[0]} real and ${counts[1]} generated images of ${real.dimensions} and ${generated.dimensions} features; give more images, of one extractor.`,
    );
  }
  const realRadii = await squaredRadii(real, neighbours);
  const generatedRadii = await squaredRadii(generated, neighbours);
  const isPrecise = new Uint8Array(counts[1]);
  const isRecalled = new Uint8Array(counts[0]);
  await forEachRowOfDistances(real, generated, (i, j, squared) => {
    for (let at = 0; at < squared.length; at++) {
      if (squared[at] <= realRadii[i]) isPrecise[j + at] = 1;
      if (squared[at] <= generatedRadii[j + at]) isRecalled[i] = 1;
    }
  });
  return { precision: shareOf(isPrecise), recall: shareOf(isRecalled), neighbours };
}

/** Squared distance of each row to its k-th nearest other one. */
async function squaredRadii(rows: FeatureRows, k: number): Promise<Float64Array> {
  const count = rows.data.length / rows.dimensions;
  // The k smallest so far of each row, in ascending order.
  const nearest = new Float64Array(count * k).fill(Number.POSITIVE_INFINITY);
  await forEachRowOfDistances(rows, rows, (i, j, squared) => {
    const ofRow = nearest.subarray(i * k, (i + 1) * k);
    for (let at = 0; at < squared.length; at++) {
      if (squared[at] < ofRow[k - 1] && i !== j + at) insert(ofRow, squared[at]);
    }
  });
  return Float64Array.from({ length: count }, (_, i) => nearest[(i + 1) * k - 1]);
}

/** Puts a number into ascending ones, of which the last is dropped. */
function insert(sorted: Float64Array, value: number): void {
  let at = sorted.length - 1;
  for (; at > 0 && sorted[at - 1] > value; at--) sorted[at] = sorted[at - 1];
  sorted[at] = value;
}

function shareOf(flags: Uint8Array): number {
  return flags.reduce((sum, flag) => sum + flag, 0) / flags.length;
}
