import type { NumericArray } from '../op.ts';
import { product } from './rules.ts';

/** One set of elements that is normalised by itself. */
export interface NormGroup {
  /** How many elements it has. */
  readonly count: number;
  readonly mean: number;
  /** 1 / √(variance + eps), with the biased variance. */
  readonly inverse: number;
  /** Calls `visit` for each element: its place in the array, and its channel. */
  each(visit: (at: number, channel: number) => void): void;
}

/**
 * The groups of an array [batch, ..., C]: for every image and group, the group's channels at all
 * positions. Layer normalisation is the case of one group and no positions, [rows, C].
 */
export function* normGroups(
  { shape, data }: NumericArray,
  { groups, eps }: { readonly groups: number; readonly eps: number },
): Generator<NormGroup> {
  const channels = shape[shape.length - 1];
  const positions = product(shape.slice(1, -1));
  const perGroup = channels / groups;
  const count = positions * perGroup;
  for (let task = 0; task < shape[0] * groups; task++) {
    const start = Math.floor(task / groups) * positions * channels;
    const firstChannel = (task % groups) * perGroup;
    const each: NormGroup['each'] = (visit) => {
      for (let position = 0; position < positions; position++) {
        for (let c = firstChannel; c < firstChannel + perGroup; c++) {
          visit(start + position * channels + c, c);
        }
      }
    };
    let mean = 0;
    each((at) => {
      mean += data[at] / count;
    });
    let variance = 0;
    each((at) => {
      variance += (data[at] - mean) ** 2 / count;
    });
    yield { count, mean, inverse: 1 / Math.sqrt(variance + eps), each };
  }
}

/**
 * Gradients of x, gamma and beta, given that of y = x̂ · gamma + beta with x̂ the normalised x:
 * dx = (g − mean(g) − x̂ · mean(g · x̂)) · inverse with g = dy · gamma, since mean and variance
 * depend on every element of the group (arXiv 1502.03167, section 3).
 */
export function normGradients(
  x: NumericArray,
  gamma: NumericArray,
  gradient: NumericArray,
  options: { readonly groups: number; readonly eps: number },
): [x: Float64Array, gamma: Float64Array, beta: Float64Array] {
  const dx = new Float64Array(x.data.length);
  const dGamma = new Float64Array(gamma.data.length);
  const dBeta = new Float64Array(gamma.data.length);
  for (const { count, mean, inverse, each } of normGroups(x, options)) {
    let meanG = 0;
    let meanGX = 0;
    each((at, c) => {
      const normalised = (x.data[at] - mean) * inverse;
      const g = gradient.data[at] * gamma.data[c];
      meanG += g / count;
      meanGX += (g * normalised) / count;
      dGamma[c] += gradient.data[at] * normalised;
      dBeta[c] += gradient.data[at];
    });
    each((at, c) => {
      const normalised = (x.data[at] - mean) * inverse;
      dx[at] = (gradient.data[at] * gamma.data[c] - meanG - normalised * meanGX) * inverse;
    });
  }
  return [dx, dGamma, dBeta];
}
