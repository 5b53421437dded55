import { elementCount } from '../core/shape.ts';
import { floats, type Tensor, tensor } from '../core/tensor.ts';
import type { QuantizationConfig } from './config.ts';
import { forEachScale, scaleShape, type WeightCodes } from './weight-codes.ts';

/** What calibration knows of a layer's input, by input channel. */
export interface InputMoments {
  readonly means: Float64Array;
  readonly meanSquares: Float64Array;
}

/** How far each side of a row is cut at most, and in how many steps. */
const LEAST_CLIP = 0.7;
const CLIP_STEPS = 16;

/** Smaller steps have no finite inverse. */
const SMALLEST_SCALE = 2 ** -100;

/**
 * Quantizes a weight [O, I, taps …] to s8. Each scale is the one of a grid of clip ratios with the
 * least Σᵢ E[xᵢ²](wᵢ − ŵᵢ)², which is what the layer's output loses if inputs are uncorrelated;
 * then each weight is rounded as the config says.
 */
export function quantizeWeight(
  weight: Tensor,
  { means, meanSquares }: InputMoments,
  { weights: spec, rounding }: Pick<QuantizationConfig, 'weights' | 'rounding'>,
): WeightCodes {
  const { shape } = weight;
  const values = floats(weight);
  const taps = elementCount(shape.slice(2));
  const importance = spread(meanSquares, taps);
  const scales = new Float32Array(elementCount(scaleShape(shape, spec)));
  const zeros = spec.scheme === 'affine' ? new Int8Array(scales.length) : undefined;
  const row = importance.length;
  const shared =
    spec.granularity === 'per-tensor' ? wholeTensor(values, importance, spec.scheme) : undefined;
  forEachScale(shape, spec, (index, begin, end) => {
    const grid =
      shared ??
      bestGrid(
        values.subarray(begin, end),
        importance.subarray(begin % row, ((end - 1) % row) + 1),
        spec.scheme,
      );
    scales[index] = grid.scale;
    if (zeros) zeros[index] = grid.zero;
  });
  const codes = new Int8Array(values.length);
  forEachScale(shape, spec, (index, begin, end) => {
    for (let i = begin; i < end; i++) {
      codes[i] = clampCode(Math.round(values[i] / scales[index]) + (zeros?.[index] ?? 0));
    }
  });
  const result: WeightCodes = {
    codes: tensor('s8', shape, codes),
    scales: tensor('f32', scaleShape(shape, spec), scales),
    ...(zeros && { zeros: tensor('s8', scaleShape(shape, spec), zeros) }),
    spec,
  };
  if (rounding === 'error-feedback') feedBack(values, result, { means, meanSquares });
  return result;
}

interface Grid {
  readonly scale: number;
  readonly zero: number;
}

function bestGrid(values: Float32Array, importance: Float64Array, scheme: string): Grid {
  let min = 0;
  let max = 0;
  for (const value of values) {
    if (value < min) min = value;
    if (value > max) max = value;
  }
  let best = gridOf(min, max, scheme);
  let least = Number.POSITIVE_INFINITY;
  for (let step = 0; step <= CLIP_STEPS; step++) {
    const clip = 1 - ((1 - LEAST_CLIP) * step) / CLIP_STEPS;
    const grid = gridOf(min * clip, max * clip, scheme);
    const error = roundingError(values, importance, grid, least);
    if (error < least) {
      least = error;
      best = grid;
    }
  }
  return best;
}

function gridOf(min: number, max: number, scheme: string): Grid {
  if (scheme === 'symmetric') {
    return { scale: Math.max(Math.fround(Math.max(max, -min) / 127), SMALLEST_SCALE), zero: 0 };
  }
  const scale = Math.max(Math.fround((max - min) / 255), SMALLEST_SCALE);
  return { scale, zero: clampCode(-128 + Math.round(-min / scale)) };
}

/** Stops early once it exceeds `limit`. */
function roundingError(
  values: Float32Array,
  importance: Float64Array,
  { scale, zero }: Grid,
  limit: number,
): number {
  const inverse = 1 / scale;
  const bound = limit * inverse * inverse;
  let sum = 0;
  for (let i = 0; i < values.length; i++) {
    const steps = values[i] * inverse;
    const error = steps - (clampCode(Math.round(steps) + zero) - zero);
    sum += importance[i] * error * error;
    if (sum > bound) return Number.POSITIVE_INFINITY;
  }
  return sum * scale * scale;
}

/** One scale for all: the grid of the whole tensor, each row weighing its inputs alike. */
function wholeTensor(values: Float32Array, importance: Float64Array, scheme: string): Grid {
  const repeated = new Float64Array(values.length);
  for (let at = 0; at < values.length; at += importance.length) repeated.set(importance, at);
  return bestGrid(values, repeated, scheme);
}

/**
 * Rounds again, each weight up or down so as to make Σ Var[xᵢ]eᵢ² + (Σ E[xᵢ]eᵢ)² small, for every
 * output channel and tap: this is the expected squared error of the output if the inputs are
 * uncorrelated but have a mean, as they have behind SiLU. The sum is built up channel by channel,
 * and each rounding makes good for what those before it left over (the error feedback of Frantar et
 * al., "GPTQ", 2023, for a covariance of diagonal plus rank one).
 */
function feedBack(
  values: Float32Array,
  { codes, scales, zeros, spec }: WeightCodes,
  { means, meanSquares }: InputMoments,
): void {
  const [outputs, inputs] = codes.shape;
  const taps = elementCount(codes.shape.slice(2));
  const perRow = scales.data.length / outputs;
  const size = spec.granularity === 'per-group' ? spec.groupSize! : inputs;
  for (let o = 0; o < outputs; o++) {
    for (let tap = 0; tap < taps; tap++) {
      let left = 0;
      for (let i = 0; i < inputs; i++) {
        const at = (o * inputs + i) * taps + tap;
        const index = o * perRow + Math.floor(i / size);
        const scale = scales.data[index];
        const zero = zeros?.data[index] ?? 0;
        const steps = values[at] / scale + zero;
        const down = clampCode(Math.floor(steps));
        const up = clampCode(down + 1);
        const variance = Math.max(meanSquares[i] - means[i] * means[i], 0);
        const cost = (code: number) => {
          const error = (steps - code) * scale;
          return variance * error * error + (left + means[i] * error) ** 2;
        };
        const code = cost(up) < cost(down) ? up : down;
        codes.data[at] = code;
        left += means[i] * (steps - code) * scale;
      }
    }
  }
}

function clampCode(code: number): number {
  return code < -128 ? -128 : code > 127 ? 127 : code;
}

/** A value per input channel to one per element of a row, whose taps come last. */
function spread(perChannel: Float64Array, taps: number): Float64Array {
  return Float64Array.from(
    { length: perChannel.length * taps },
    (_, i) => perChannel[Math.floor(i / taps)],
  );
}
