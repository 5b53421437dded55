import { BookendError } from '../../core/errors.ts';
import { OBSERVE_BINS } from '../../ir/ops/observe.ts';
import { isNonFiniteBin } from './histogram.ts';

/** What the `observe` op says of one tensor [..., C] in one run of the network. */
export interface Observation {
  /** s32 [OBSERVE_BINS] */
  readonly histogram: ArrayLike<number>;
  /** f32 [2]: smallest and largest number. */
  readonly range: ArrayLike<number>;
  /** f32 [C]: sums over all positions, of the numbers and of their squares. */
  readonly sums: ArrayLike<number>;
  readonly squares: ArrayLike<number>;
}

/**
 * What calibration keeps of a tensor over many runs. Sums are rounded to f32 after every run, so
 * that a calibration which was stored and taken up again has the very numbers of one that was not.
 */
export interface TensorStatistics {
  readonly counts: Int32Array;
  readonly sums: Float32Array;
  readonly squares: Float32Array;
  /** [smallest, largest, average smallest, average largest] */
  readonly extremes: Float32Array;
}

export function emptyStatistics(channels: number): TensorStatistics {
  return {
    counts: new Int32Array(OBSERVE_BINS),
    sums: new Float32Array(channels),
    squares: new Float32Array(channels),
    extremes: Float32Array.of(Infinity, -Infinity, Number.NaN, Number.NaN),
  };
}

const MAX_COUNT = 2 ** 31 - 1;

/**
 * Adds a run to `statistics`. The averages of the extremes start at the first run's and move by
 * `momentum` towards each later one's (exponential moving average).
 *
 * @param name of the tensor, for messages
 * @throws BookendError `non-finite` for infinities and NaN; `invalid-argument` past 2³¹ of a kind
 */
export function addObservation(
  statistics: TensorStatistics,
  { histogram, range, sums, squares }: Observation,
  momentum: number,
  name: string,
): void {
  const { counts, extremes } = statistics;
  for (let bin = 0; bin < OBSERVE_BINS; bin++) {
    if (histogram[bin] === 0) continue;
    if (isNonFiniteBin(bin)) throw nonFinite(name);
    const count = counts[bin] + histogram[bin];
    if (count > MAX_COUNT) throw tooMany(name);
    counts[bin] = count;
  }
  const [min, max] = [range[0], range[1]];
  extremes[0] = Math.min(extremes[0], min);
  extremes[1] = Math.max(extremes[1], max);
  extremes[2] = Number.isNaN(extremes[2]) ? min : extremes[2] + momentum * (min - extremes[2]);
  extremes[3] = Number.isNaN(extremes[3]) ? max : extremes[3] + momentum * (max - extremes[3]);
  addInto(statistics.sums, sums);
  addInto(statistics.squares, squares);
}

function addInto(target: Float32Array, values: ArrayLike<number>): void {
  for (let i = 0; i < target.length; i++) target[i] += values[i];
}

/** Mean and mean square of each channel over all `statistics` of one tensor. */
export interface Moments {
  readonly means: Float64Array;
  readonly meanSquares: Float64Array;
}

export function momentsOf(statistics: readonly TensorStatistics[]): Moments {
  const channels = statistics[0].sums.length;
  const means = new Float64Array(channels);
  const meanSquares = new Float64Array(channels);
  let values = 0;
  for (const { counts, sums, squares } of statistics) {
    for (const count of counts) values += count;
    for (let c = 0; c < channels; c++) {
      means[c] += sums[c];
      meanSquares[c] += squares[c];
    }
  }
  const positions = values / channels;
  for (let c = 0; c < channels; c++) {
    means[c] /= positions;
    meanSquares[c] /= positions;
  }
  return { means, meanSquares };
}

function nonFinite(name: string): BookendError {
  return new BookendError(
    'non-finite',
    `The input of ${name} held infinity or NaN while calibrating; look for damaged weights with \`bookend inspect --values\`, or calibrate in fp32.`,
  );
}

function tooMany(name: string): BookendError {
  return new BookendError(
    'invalid-argument',
    `Calibration counted the input of ${name} more than ${MAX_COUNT} times in one bin; use fewer samples or steps, or more buckets.`,
  );
}
