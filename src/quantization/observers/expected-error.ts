import type { QuantizationParams } from '../../core/quantization-params.ts';
import { rangeOfParams } from './code-range.ts';
import type { Distribution } from './histogram.ts';

/**
 * The mean of (x − Q(x))² and of x − Q(x) over a distribution, where Q rounds to the nearest code
 * and clamps. Numbers are taken to lie evenly within their interval, and the integral over each is
 * exact: rounding to the multiples of s is a saw-tooth whose square integrates to s³ · (n/12 + r³/3)
 * up to n + r periods; beyond the last code the error grows linearly.
 */
export function expectedSquaredError(
  distribution: Distribution,
  params: QuantizationParams,
): number {
  return expectation(distribution, squaredIntegral(params), (x) => error(x, params) ** 2);
}

/** The mean of x − Q(x): what clipping and rounding take away on average. */
export function expectedError(distribution: Distribution, params: QuantizationParams): number {
  return expectation(distribution, linearIntegral(params), (x) => error(x, params));
}

function expectation(
  { low, high, weight, total }: Distribution,
  integral: (x: number) => number,
  pointwise: (x: number) => number,
): number {
  let sum = 0;
  for (let i = 0; i < weight.length; i++) {
    const width = high[i] - low[i];
    sum +=
      weight[i] * (width > 0 ? (integral(high[i]) - integral(low[i])) / width : pointwise(low[i]));
  }
  return total === 0 ? 0 : sum / total;
}

function error(x: number, params: QuantizationParams): number {
  const { min, max } = rangeOfParams(params);
  if (x < min) return x - min;
  if (x > max) return x - max;
  const periods = x / params.scale;
  return params.scale * (periods - Math.round(periods));
}

/** ∫₀ˣ (t − Q(t))² dt */
function squaredIntegral(params: QuantizationParams): (x: number) => number {
  const { scale } = params;
  const { min, max } = rangeOfParams(params);
  const cube = scale ** 3;
  const inside = (x: number) => {
    const periods = x / scale;
    const whole = Math.round(periods);
    const rest = periods - whole;
    return cube * (whole / 12 + (rest * rest * rest) / 3);
  };
  const atMin = inside(min);
  const atMax = inside(max);
  return (x) => {
    if (x > max) return atMax + (x - max) ** 3 / 3;
    if (x < min) return atMin - (min - x) ** 3 / 3;
    return inside(x);
  };
}

/** ∫₀ˣ (t − Q(t)) dt; a whole period of rounding adds nothing. */
function linearIntegral(params: QuantizationParams): (x: number) => number {
  const { scale } = params;
  const { min, max } = rangeOfParams(params);
  const inside = (x: number) => {
    const rest = x / scale - Math.round(x / scale);
    return (scale * scale * rest * rest) / 2;
  };
  return (x) => {
    if (x > max) return (x - max) ** 2 / 2;
    if (x < min) return (min - x) ** 2 / 2;
    return inside(x);
  };
}
