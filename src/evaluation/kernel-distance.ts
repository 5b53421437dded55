import { BookendError } from '../core/errors.ts';
import { TorchGenerator } from '../core/rng.ts';
import { countRows, type FeatureRows } from './feature-extractor.ts';
import { type ChosenRows, kernelSums } from './kernel-sums.ts';
import { Pauses } from './pauses.ts';

export interface KernelDistanceOptions {
  /** Default 100, as in the paper. */
  readonly subsets?: number;
  /** Images of each set in a subset; default 1000, or as many as the smaller set has. */
  readonly subsetSize?: number;
  /** Of the choice of subsets; default 0. */
  readonly seed?: number;
}

export interface KernelDistance {
  /** Mean over the subsets: unbiased, so it may be a little below zero. Often printed × 1000. */
  readonly distance: number;
  /** Standard deviation over the subsets (divided by their number less one); 0 for a single one. */
  readonly deviation: number;
  readonly subsets: number;
  readonly subsetSize: number;
}

/**
 * The kernel inception distance (Bińkowski et al., arXiv 1801.01401): the squared maximum mean
 * discrepancy with the kernel k(x, y) = (x·y ÷ d + 1)³, by the unbiased estimator (Gretton et al., "A
 * kernel two-sample test", 2012, equation 3), averaged over random subsets without replacement.
 *
 * @throws BookendError `invalid-argument` for fewer than two images, or options out of range
 */
export async function kernelDistance(
  a: FeatureRows,
  b: FeatureRows,
  options: KernelDistanceOptions = {},
): Promise<KernelDistance> {
  const counts = [countRows(a.data, a.dimensions), countRows(b.data, b.dimensions)];
  const fewest = Math.min(...counts);
  const { subsets = 100, subsetSize = Math.min(1000, fewest), seed = 0 } = options;
  requireSizes(a, b, { subsets, subsetSize, fewest });
  const [x, y] = await chooseSubsets([a, b], subsets, subsetSize, seed);
  const [ofX, ofY] = [await kernelSums(x, x, 'others'), await kernelSums(y, y, 'others')];
  const between = await kernelSums(x, y, 'all');
  const pairs = subsetSize * (subsetSize - 1);
  const distances = ofX.map(
    (sum, i) => (sum + ofY[i]) / pairs - (2 * between[i]) / subsetSize ** 2,
  );
  const distance = distances.reduce((sum, value) => sum + value, 0) / subsets;
  const squares = distances.reduce((sum, value) => sum + (value - distance) ** 2, 0);
  const deviation = subsets > 1 ? Math.sqrt(squares / (subsets - 1)) : 0;
  return { distance, deviation, subsets, subsetSize };
}

function requireSizes(
  a: FeatureRows,
  b: FeatureRows,
  { subsets, subsetSize, fewest }: { subsets: number; subsetSize: number; fewest: number },
): void {
  if (a.dimensions !== b.dimensions) {
    throw new BookendError(
      'invalid-argument',
      `Rows of ${a.dimensions} and of ${b.dimensions} features cannot be compared; use one extractor for both.`,
    );
  }
  const fits = Number.isInteger(subsetSize) && subsetSize >= 2 && subsetSize <= fewest;
  if (!fits || !Number.isInteger(subsets) || subsets < 1) {
    throw new BookendError(
      'invalid-argument',
      `The kernel distance cannot take ${subsets} subsets of ${subsetSize} images from sets of at least ${fewest}; ask for one subset or more, of at least 2 images.`,
    );
  }
}

/** Subsets of each set, drawn by turns. */
async function chooseSubsets(
  sets: readonly FeatureRows[],
  subsets: number,
  size: number,
  seed: number,
): Promise<ChosenRows[]> {
  const random = new TorchGenerator(seed);
  const pauses = new Pauses();
  const chosen = sets.map((rows) => ({ rows, subsets: [] as Uint32Array[] }));
  for (let i = 0; i < subsets; i++) {
    for (const { rows, subsets: drawn } of chosen) {
      drawn.push(chosenRows(rows.data.length / rows.dimensions, size, random));
      if (pauses.isDue) await pauses.take();
    }
  }
  return chosen;
}

/** `size` different rows of `count`, in ascending order, by the first swaps of a Fisher–Yates shuffle. */
function chosenRows(count: number, size: number, random: TorchGenerator): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  const draws = random.uniformFloat32(size);
  for (let i = 0; i < size; i++) {
    const other = i + Math.floor(draws[i] * (count - i));
    [order[i], order[other]] = [order[other], order[i]];
  }
  return order.slice(0, size).sort();
}
