import type { QuantizationParams } from '../../core/quantization-params.ts';
import type { ObserverSettings, QuantizationSpec } from '../config.ts';
import { type ClippingRange, paramsOfRange } from './code-range.ts';
import { expectedSquaredError } from './expected-error.ts';
import { type Distribution, distributionOf } from './histogram.ts';
import type { TensorStatistics } from './statistics.ts';

/** The codes for a tensor that behaves as `statistics` say. */
export function chooseParams(
  statistics: TensorStatistics,
  { method, percentile }: ObserverSettings,
  scheme: QuantizationSpec['scheme'],
): QuantizationParams {
  const [min, max, averageMin, averageMax] = statistics.extremes;
  const distribution = distributionOf(statistics.counts, { min, max });
  switch (method) {
    case 'minmax':
      return paramsOfRange({ min: averageMin, max: averageMax }, scheme);
    case 'percentile':
      return paramsOfRange(percentileRange(distribution, percentile), scheme);
    case 'mse':
      return leastErrorParams(distribution, scheme);
  }
}

/** The range that leaves equal shares out at both ends, `percentile` percent inside. */
export function percentileRange(
  { low, high, weight, total, min, max }: Distribution,
  percentile: number,
): ClippingRange {
  const tail = ((100 - percentile) / 200) * total;
  const quantile = (rank: number) => {
    let below = 0;
    for (let i = 0; i < weight.length; i++) {
      if (below + weight[i] >= rank) {
        return low[i] + (high[i] - low[i]) * Math.max(0, (rank - below) / weight[i]);
      }
      below += weight[i];
    }
    return max;
  };
  return tail === 0 ? { min, max } : { min: quantile(tail), max: quantile(total - tail) };
}

/** Each step of the search shortens a side by 3%; 100 of them leave a twentieth. */
const SHRINK = 0.97;
const STEPS = 100;

/**
 * The range with the least expected squared error: first both ends are shortened together, since
 * one outlier left at either end spoils the other, then each in turn.
 */
export function leastErrorParams(
  distribution: Distribution,
  scheme: QuantizationSpec['scheme'],
): QuantizationParams {
  const min = Math.min(distribution.min, 0);
  const max = Math.max(distribution.max, 0);
  const paramsAt = (low: number, high: number) =>
    paramsOfRange({ min: min * SHRINK ** low, max: max * SHRINK ** high }, scheme);
  const errorAt = (low: number, high: number) =>
    expectedSquaredError(distribution, paramsAt(low, high));
  const both = argmin(0, STEPS, (step) => errorAt(step, step));
  if (scheme === 'symmetric') return paramsAt(both, both);
  let low = both;
  let high = both;
  for (const reach of [STEPS, 16, 4]) {
    high = argmin(high - reach, high + reach, (step) => errorAt(low, step));
    low = argmin(low - reach, low + reach, (step) => errorAt(step, high));
  }
  return paramsAt(low, high);
}

/** The step with the least error, the smallest of equal ones. */
function argmin(from: number, to: number, errorAt: (step: number) => number): number {
  let best = Math.max(from, 0);
  let least = Number.POSITIVE_INFINITY;
  for (let step = best; step <= Math.min(to, STEPS); step++) {
    const error = errorAt(step);
    if (error < least) {
      least = error;
      best = step;
    }
  }
  return best;
}
