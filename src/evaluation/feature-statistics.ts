import { BookendError } from '../core/errors.ts';
import { countRows } from './feature-extractor.ts';
import { Pauses } from './pauses.ts';

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

/** With the row that stands for the distance of the means, whole groups. */
const ROWS_AT_ONCE = 8 * GROUP - 1;

/** Rows of the covariance between two chances to pause. */
const STEP = 128;

/** Work that may be left alone at every `yield`. */
type Steps<T = void> = Generator<undefined, T, undefined>;

/** Columns are walked so far at a time, as their elements lie far apart. */
const TILE = 16;

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

  /** Of features that are there at once; lets the event loop turn. @param features [rows, dimensions] */
  static async of(features: Float32Array, dimensions: number): Promise<FeatureStatistics> {
    const running = new RunningStatistics(dimensions);
    const pauses = new Pauses();
    for (let at = 0; at < features.length; at += ROWS_AT_ONCE * dimensions) {
      const part = features.subarray(at, at + ROWS_AT_ONCE * dimensions);
      for (const _ of running.#adding(part)) if (pauses.isDue) await pauses.take();
    }
    const dividing = running.#dividing();
    let step = dividing.next();
    for (; !step.done; step = dividing.next()) if (pauses.isDue) await pauses.take();
    return step.value;
  }

  get count(): number {
    return this.#count;
  }

  /**
   * Computes at once, about 2 ms for a row of 2048; `featureStatistics` lets the event loop turn.
   *
   * @param features [rows, dimensions]
   * @throws BookendError `invalid-argument`, `non-finite`
   */
  add(features: Float32Array): void {
    finish(this.#adding(features));
  }

  /** Yields every few milliseconds. */
  *#adding(features: Float32Array): Steps {
    const rows = countRows(features, this.dimensions);
    if (rows === 0) return;
    const { dimensions } = this;
    const mean = meanOfRows(features, rows, dimensions);
    // Deviations from the batch's mean, and one row that stands for the distance of the means.
    const padded = Math.ceil((rows + 1) / GROUP) * GROUP;
    const deviations = new Float64Array(padded * dimensions);
    for (let i = 0; i < features.length; i++) deviations[i] = features[i] - mean[i % dimensions];
    this.#joinMeans(mean, rows, deviations.subarray(rows * dimensions, (rows + 1) * dimensions));
    yield* addProducts(this.#scatter, deviations, dimensions);
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
    finish(addProducts(this.#scatter, between, dimensions));
    for (let i = 0; i < this.#scatter.length; i++) this.#scatter[i] += other.#scatter[i];
  }

  /** @throws BookendError `invalid-argument` for fewer than two images, which have no covariance */
  statistics(): FeatureStatistics {
    return finish(this.#dividing());
  }

  *#dividing(): Steps<FeatureStatistics> {
    const { dimensions } = this;
    if (this.#count < 2) {
      throw new BookendError(
        'invalid-argument',
        `There is no covariance of ${this.#count} image; give at least two.`,
      );
    }
    const covariance = new Float64Array(dimensions * dimensions);
    for (let i = 0; i < dimensions; i += TILE) {
      for (let j = i; j < dimensions; j += TILE) {
        this.#divideTile(covariance, i, j);
        yield;
      }
    }
    return { dimensions, count: this.#count, mean: this.#mean.slice(), covariance };
  }

  /** Both halves of a covariance, of TILE rows from `top` and columns from `left`. */
  #divideTile(covariance: Float64Array, top: number, left: number): void {
    const { dimensions } = this;
    for (let i = top; i < Math.min(top + TILE, dimensions); i++) {
      for (let j = Math.max(i, left); j < Math.min(left + TILE, dimensions); j++) {
        const value = this.#scatter[i * dimensions + j] / (this.#count - 1);
        covariance[i * dimensions + j] = value;
        covariance[j * dimensions + i] = value;
      }
    }
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

/**
 * The statistics of features that are there at once. The event loop turns meanwhile, which it does not
 * while `RunningStatistics` works.
 *
 * @param features [rows, dimensions]
 * @throws BookendError `invalid-argument` for fewer than two rows, `non-finite`
 */
export async function featureStatistics(
  features: Float32Array,
  dimensions: number,
): Promise<FeatureStatistics> {
  countRows(features, dimensions);
  return RunningStatistics.of(features, dimensions);
}

function finish<T>(steps: Steps<T>): T {
  let step = steps.next();
  while (!step.done) step = steps.next();
  return step.value;
}

function meanOfRows(features: Float32Array, rows: number, dimensions: number): Float64Array {
  const mean = new Float64Array(dimensions);
  for (let row = 0, at = 0; row < rows; row++) {
    for (let i = 0; i < dimensions; i++, at++) mean[i] += features[at];
  }
  return mean.map((sum) => sum / rows);
}

/** scatter += rowsᵀ rows, in the upper triangle; a multiple of GROUP rows. */
function* addProducts(scatter: Float64Array, rows: Float64Array, dimensions: number): Steps {
  for (let at = 0; at < rows.length; at += GROUP * dimensions) {
    const group = rows.subarray(at, at + GROUP * dimensions);
    for (let i = 0; i < dimensions; i++) {
      addGroup(scatter.subarray(i * dimensions, (i + 1) * dimensions), group, i);
      if (i % STEP === STEP - 1) yield;
    }
  }
}

/** out += column `i` of four rows, times what each of them has from there on. */
function addGroup(out: Float64Array, group: Float64Array, i: number): void {
  const dimensions = out.length;
  const [b, c, d] = [dimensions, 2 * dimensions, 3 * dimensions];
  const [ai, bi, ci, di] = [group[i], group[b + i], group[c + i], group[d + i]];
  for (let j = i; j < dimensions; j++) {
    out[j] += ai * group[j] + bi * group[b + j] + ci * group[c + j] + di * group[d + j];
  }
}
