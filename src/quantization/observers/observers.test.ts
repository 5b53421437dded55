import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  dequantizeCode,
  type QuantizationParams,
  quantizeToCode,
} from '../../core/quantization-params.ts';
import { TorchGenerator } from '../../core/rng.ts';
import { OBSERVE_BINS } from '../../ir/ops/observe.ts';
import { chooseParams, leastErrorParams, percentileRange } from './clipping-range.ts';
import { paramsOfRange, rangeOfParams } from './code-range.ts';
import { expectedError, expectedSquaredError } from './expected-error.ts';
import { binOf, distributionOf, isNonFiniteBin } from './histogram.ts';
import { addObservation, emptyStatistics, momentsOf, type Observation } from './statistics.ts';

const normal = (count: number, seed: number) => new TorchGenerator(seed).normalFloat32(count);

/** The `observe` op in plain words, over rows of `channels`. */
function observe(values: Float32Array, channels = 1): Observation {
  const histogram = new Int32Array(OBSERVE_BINS);
  const sums = new Float64Array(channels);
  const squares = new Float64Array(channels);
  for (const [i, x] of values.entries()) {
    histogram[binOf(x)]++;
    sums[i % channels] += x;
    squares[i % channels] += x * x;
  }
  return {
    histogram,
    range: [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))],
    sums,
    squares,
  };
}

function distribution(values: Float32Array) {
  const { histogram, range } = observe(values);
  return distributionOf(histogram, { min: range[0], max: range[1] });
}

const rounded = (x: number, params: QuantizationParams) =>
  dequantizeCode(quantizeToCode(x, params), params);

function bruteForceError(values: Float32Array, params: QuantizationParams, power: number): number {
  let sum = 0;
  for (const x of values) sum += (x - rounded(x, params)) ** power;
  return sum / values.length;
}

/** Shapes that U-Nets have: symmetric, one-sided with a short negative tail, with outliers. */
const SAMPLES: Record<string, Float32Array> = {
  normal: normal(200_000, 1),
  silu: normal(200_000, 2).map((x) => (3 * x) / (1 + Math.exp(-3 * x))),
  outliers: normal(200_000, 3).map((x, i) => (i % 1000 === 0 ? 20 * x : x)),
  positive: normal(200_000, 4).map((x) => Math.abs(x) + 0.5),
};

for (const [name, values] of Object.entries(SAMPLES)) {
  test(`${name}: the expected error is that of quantizing every number`, () => {
    const found = distribution(values);
    for (const share of [1, 0.8, 0.4, 0.1]) {
      const range = { min: found.min * share, max: found.max * share };
      for (const scheme of ['affine', 'symmetric'] as const) {
        const params = paramsOfRange(range, scheme);
        const exact = bruteForceError(values, params, 2);
        const expected = expectedSquaredError(found, params);
        assert.ok(Math.abs(expected / exact - 1) < 0.02, `${share} ${expected} ${exact}`);
        const bias = expectedError(found, params) - bruteForceError(values, params, 1);
        assert.ok(Math.abs(bias) < 0.02 * Math.sqrt(exact), `${share} ${bias}`);
      }
    }
  });

  test(`${name}: the least-error range is as good as the best of a fine grid`, () => {
    const few = values.subarray(0, 20_000);
    const found = distribution(few);
    const chosen = bruteForceError(few, leastErrorParams(found, 'affine'), 2);
    let best = Number.POSITIVE_INFINITY;
    for (let low = 1; low > 0.1; low *= 0.9) {
      for (let high = 1; high > 0.1; high *= 0.9) {
        const params = paramsOfRange({ min: found.min * low, max: found.max * high }, 'affine');
        best = Math.min(best, bruteForceError(few, params, 2));
      }
    }
    assert.ok(chosen < 1.06 * best, `${chosen} ${best}`);
  });

  test(`${name}: the percentile range holds the share it should`, () => {
    const sorted = values.slice().sort();
    const { min, max } = percentileRange(distribution(values), 99);
    const rank = (share: number) => sorted[Math.floor(share * sorted.length)];
    const slack = 0.04 * Math.max(Math.abs(min), Math.abs(max));
    assert.ok(Math.abs(min - rank(0.005)) < slack && Math.abs(max - rank(0.995)) < slack);
    assert.deepEqual(percentileRange(distribution(values), 100), {
      min: Math.fround(sorted[0]),
      max: Math.fround(sorted[sorted.length - 1]),
    });
  });
}

test('codes cover the range, hold 0 exactly, and survive degenerate ranges', () => {
  assert.deepEqual(paramsOfRange({ min: -1, max: 1 }, 'symmetric').zeroPoint, 128);
  for (const range of [
    { min: -2, max: 5 },
    { min: 3, max: 4 },
    { min: -4, max: -3 },
    { min: 0, max: 0 },
  ]) {
    const params = paramsOfRange(range, 'affine');
    assert.ok(params.scale > 0 && Number.isFinite(1 / params.scale));
    assert.equal(rounded(0, params), 0);
    const covered = rangeOfParams(params);
    assert.ok(covered.min <= range.min + params.scale && covered.max >= range.max - params.scale);
  }
});

test('statistics add up over runs, and the averages of the extremes move', () => {
  const runs = [normal(6000, 7), normal(6000, 8).map((x) => 3 * x + 1)];
  const statistics = emptyStatistics(3);
  for (const run of runs) addObservation(statistics, observe(run, 3), 0.25, 'x');
  const all = observe(Float32Array.from([...runs[0], ...runs[1]]), 3);
  assert.deepEqual([...statistics.counts], [...(all.histogram as Int32Array)]);
  assert.deepEqual([statistics.extremes[0], statistics.extremes[1]], all.range);
  const [first, second] = runs.map((run) => observe(run, 3).range);
  const average = first[1] + 0.25 * (second[1] - first[1]);
  assert.ok(Math.abs(statistics.extremes[3] - average) < 1e-6);
  const { means, meanSquares } = momentsOf([statistics]);
  for (let c = 0; c < 3; c++) {
    assert.ok(Math.abs(means[c] - all.sums[c] / 4000) < 1e-5);
    assert.ok(Math.abs(meanSquares[c] - all.squares[c] / 4000) < 1e-5);
  }
  const params = chooseParams(
    statistics,
    { method: 'minmax', momentum: 0.25, percentile: 99 },
    'affine',
  );
  assert.ok(Math.abs(rangeOfParams(params).max - average) < params.scale);
});

test('infinities are refused, and so is a count that would overflow', () => {
  const infinite = observe(Float32Array.of(1, Number.POSITIVE_INFINITY));
  assert.throws(() => addObservation(emptyStatistics(1), infinite, 1, 'x'), { code: 'non-finite' });
  assert.ok(isNonFiniteBin(binOf(Number.NaN)) && !isNonFiniteBin(binOf(-3e38)));
  const many = {
    ...observe(Float32Array.of(1)),
    histogram: new Int32Array(OBSERVE_BINS).fill(2 ** 30),
  };
  many.histogram.forEach((_, bin) => {
    if (isNonFiniteBin(bin)) many.histogram[bin] = 0;
  });
  const statistics = emptyStatistics(1);
  addObservation(statistics, many, 1, 'x');
  assert.throws(() => addObservation(statistics, many, 1, 'x'), { code: 'invalid-argument' });
});
