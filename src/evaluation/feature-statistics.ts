import { BookendError } from '../core/errors.ts';
import { countRows } from './feature-extractor.ts';

/** Mean and covariance of a set of features: what the Fréchet distance looks at. */
export interface FeatureStatistics {
  readonly dimensions: number;
  /** Images; undefined where statistics came without it. */
  readonly count?: number;
  /** [dimensions] */
  readonly mean: Float64Array;
  /** [dimensions, dimensions], unbiased: divided by count - 1. */
  readonly covariance: Float64Array;
}

/** Rows that are multiplied with each other at once: each sum is then read once for all of them. */
const GROUP = 4;

/**
 * Mean and covariance of features that come batch by batch, in float64. Batches are joined with the
 * updates of Chan, Golub and LeVeque ("Updating formulae and a pairwise algorithm for computing
 * sample variances", 1979), so that neither order nor distance from zero costs digits.
 */
export class RunningStatistics {
  readonly dimensions: number;
  #count = 0;
  readonly #mean: Float64Array;
  /** Sums of products of deviations from the mean; the upper triangle. */
  readonly #scatter: Float64Array;

  constructor(dimensions: number) {
    this.dimensions = dimensions;
    this.#mean = new Float64Array(dimensions);
    this.#scatter = new Float64Array(dimensions * dimensions);
  }

  get count(): number {
    return this.#count;
  }

  /**
   * @param features [rows, dimensions]
   * @throws BookendError `invalid-argument`, `non-finite`
   */
  add(features: Float32Array): void {
    const rows = countRows(features, this.dimensions);
    if (rows === 0) return;
    const { dimensions } = this;
    const mean = meanOfRows(features, rows, dimensions);
    // Deviations from the batch's mean, and one row that stands for the distance of the means.
    const padded = Math.ceil((rows + 1) / GROUP) * GROUP;
    const deviations = new Float64Array(padded * dimensions);
    for (let i = 0; i < features.length; i++) deviations[i] = features[i] - mean[i % dimensions];
    this.#joinMeans(mean, rows, deviations.subarray(rows * dimensions, (rows + 1) * dimensions));
    addProducts(this.#scatter, deviations, dimensions);
  }

  /** Adds all that `other` has seen. */
  merge(other: RunningStatistics): void {
    const { dimensions } = this;
    if (other.dimensions !== dimensions) {
      throw new BookendError(
        'invalid-argument',
        `Statistics of ${dimensions} features cannot be joined with those of ${other.dimensions}; use one extractor.`,
      );
    }
    if (other.#count === 0) return;
    const between = new Float64Array(GROUP * dimensions);
    this.#joinMeans(other.#mean, other.#count, between.subarray(0, dimensions));
    addProducts(this.#scatter, between, dimensions);
    for (let i = 0; i < this.#scatter.length; i++) this.#scatter[i] += other.#scatter[i];
  }

  /** @throws BookendError `invalid-argument` for fewer than two images, which have no covariance */
  statistics(): FeatureStatistics {
    const { dimensions } = this;
    if (this.#count < 2) {
      throw new BookendError(
        'invalid-argument',
        `There is no covariance of ${this.#count} image; give at least two.`,
      );
    }
    const covariance = new Float64Array(dimensions * dimensions);
    for (let i = 0; i < dimensions; i++) {
      for (let j = i; j < dimensions; j++) {
        const value = this.#scatter[i * dimensions + j] / (this.#count - 1);
        covariance[i * dimensions + j] = value;
        covariance[j * dimensions + i] = value;
      }
    }
    return { dimensions, count: this.#count, mean: this.#mean.slice(), covariance };
  }

  /** Moves the mean; fills `between`, whose square is what the distance of the means adds. */
  #joinMeans(mean: Float64Array, rows: number, between: Float64Array): void {
    const total = this.#count + rows;
    const weight = Math.sqrt((this.#count * rows) / total);
    for (let i = 0; i < mean.length; i++) {
      const distance = mean[i] - this.#mean[i];
      between[i] = distance * weight;
      this.#mean[i] += (distance * rows) / total;
    }
    this.#count = total;
  }
}

/** The statistics of features that are there at once. */
export function featureStatistics(features: Float32Array, dimensions: number): FeatureStatistics {
  const running = new RunningStatistics(dimensions);
  running.add(features);
  return running.statistics();
}

function meanOfRows(features: Float32Array, rows: number, dimensions: number): Float64Array {
  const mean = new Float64Array(dimensions);
  for (let row = 0, at = 0; row < rows; row++) {
    for (let i = 0; i < dimensions; i++, at++) mean[i] += features[at];
  }
  return mean.map((sum) => sum / rows);
}

/** scatter += rowsᵀ rows, in the upper triangle; a multiple of GROUP rows. */
function addProducts(scatter: Float64Array, rows: Float64Array, dimensions: number): void {
  for (let at = 0; at < rows.length; at += GROUP * dimensions) {
    const [a, b, c, d] = [0, 1, 2, 3].map((r) =>
      rows.subarray(at + r * dimensions, at + (r + 1) * dimensions),
    );
    for (let i = 0; i < dimensions; i++) {
      const out = scatter.subarray(i * dimensions, (i + 1) * dimensions);
      const [ai, bi, ci, di] = [a[i], b[i], c[i], d[i]];
      for (let j = i; j < dimensions; j++) {
        out[j] += ai * a[j] + bi * b[j] + ci * c[j] + di * d[j];
      }
    }
  }
}
