import type { Shape } from '../../core/shape.ts';
import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { type NumericArray, type OpDefinition, reject } from '../op.ts';
import { concatArrays } from './concat.ts';
import {
  applyEpilogue,
  type EpilogueAttributes,
  type EpilogueInputs,
  inferEpilogue,
  inferFloatType,
  PLAIN_EPILOGUE,
} from './epilogue.ts';
import { sourceChannels } from './linear.ts';
import { product, requireRank, requireShape, requireWhole } from './rules.ts';
import { upsampleArray } from './upsample-nearest.ts';

type Inputs = EpilogueInputs & {
  /** [batch, height, width, I] */
  readonly x: Value;
  /**
   * Second source: the layer reads the concatenation of x and skip on channels. Where they are
   * quantized, each has its own scale.
   */
  readonly skip?: Value;
  /** [O, I, kernel height, kernel width]; s8, in units of weightScale, where x is quantized */
  readonly weight: Value;
};

export type Padding = readonly [top: number, bottom: number, left: number, right: number];
export type Conv2dAttributes = EpilogueAttributes & {
  readonly stride: number;
  /** Zeros around the (upsampled) source. */
  readonly padding: Padding;
  /** 2: the source is read through nearest-neighbour upsampling by 2. */
  readonly upsample: 1 | 2;
};

/**
 * Two-dimensional cross-correlation, channels last, followed by the fused epilogue. The gradient
 * needs backward convolutions, which come with training.
 */
export const conv2dOp: OpDefinition<Inputs, Conv2dAttributes> = {
  name: 'conv2d',
  operands: {
    x: 'required',
    skip: 'optional',
    weight: 'required',
    weightScale: 'optional',
    bias: 'optional',
    rowBias: 'optional',
    residual: 'optional',
  },
  infer(types, attributes) {
    const { x, weight } = types;
    requireRank('x', x, 4);
    requireRank('weight', weight, 4);
    const dtype = inferFloatType(types, attributes);
    const [outputs, , kernelHeight, kernelWidth] = weight.shape;
    requireShape('weight', weight, [outputs, sourceChannels(types), kernelHeight, kernelWidth]);
    const shape = [x.shape[0], ...outputExtents(x.shape, weight.shape, attributes), outputs];
    return inferEpilogue(types, attributes, { dtype, shape });
  },
  evaluate(arrays, attributes) {
    const { x, skip, weight } = arrays;
    const joined = skip ? concatArrays(x, skip, 3) : x;
    const source =
      attributes.upsample === 2
        ? upsampleArray(joined, { height: 2 * x.shape[1], width: 2 * x.shape[2] })
        : joined;
    const extents = outputExtents(x.shape, weight.shape, attributes);
    const shape = [x.shape[0], ...extents, weight.shape[0]];
    return applyEpilogue(correlate(source, weight, attributes, shape), shape, arrays, attributes);
  },
  flops(types, attributes) {
    const { x, weight } = types;
    const pixels = product(outputExtents(x.shape, weight.shape, attributes));
    return 2 * x.shape[0] * pixels * product(weight.shape);
  },
  vjp: 'not-differentiable',
};

function outputExtents(x: Shape, weight: Shape, attributes: Conv2dAttributes): [number, number] {
  const { stride, padding, upsample } = attributes;
  requireWhole('stride', stride, 1);
  requireWhole('upsample', upsample, 1, 2);
  for (const amount of padding) requireWhole('padding', amount, 0);
  const [top, bottom, left, right] = padding;
  const height = Math.floor((x[1] * upsample + top + bottom - weight[2]) / stride) + 1;
  const width = Math.floor((x[2] * upsample + left + right - weight[3]) / stride) + 1;
  if (height < 1 || width < 1) {
    reject(
      `A ${weight[2]}×${weight[3]} kernel does not fit the padded ${x[1]}×${x[2]} source; use a larger image or more padding.`,
    );
  }
  return [height, width];
}

/** The sums of products, before the epilogue; weights are turned to [tap][I][O] first for speed. */
function correlate(
  source: NumericArray,
  weight: NumericArray,
  { stride, padding }: Conv2dAttributes,
  shape: Shape,
): Float64Array {
  const [batch, height, width, outputs] = shape;
  const [, sourceHeight, sourceWidth, inner] = source.shape;
  const [, , kernelHeight, kernelWidth] = weight.shape;
  const turned = turnWeights(weight);
  const out = new Float64Array(product(shape));
  for (let pixel = 0; pixel < batch * height * width; pixel++) {
    const sums = out.subarray(pixel * outputs, (pixel + 1) * outputs);
    const image = Math.floor(pixel / (height * width));
    const top = (Math.floor(pixel / width) % height) * stride - padding[0];
    const left = (pixel % width) * stride - padding[2];
    for (let tap = 0; tap < kernelHeight * kernelWidth; tap++) {
      const y = top + Math.floor(tap / kernelWidth);
      const x = left + (tap % kernelWidth);
      if (y < 0 || y >= sourceHeight || x < 0 || x >= sourceWidth) continue;
      const from = ((image * sourceHeight + y) * sourceWidth + x) * inner;
      for (let i = 0; i < inner; i++) {
        const value = source.data[from + i];
        const row = (tap * inner + i) * outputs;
        for (let o = 0; o < outputs; o++) sums[o] += value * turned[row + o];
      }
    }
  }
  return out;
}

function turnWeights({ shape, data }: NumericArray): Float64Array {
  const [outputs, inner, kernelHeight, kernelWidth] = shape;
  const taps = kernelHeight * kernelWidth;
  const turned = new Float64Array(data.length);
  for (let o = 0; o < outputs; o++) {
    for (let i = 0; i < inner; i++) {
      for (let tap = 0; tap < taps; tap++) {
        turned[(tap * inner + i) * outputs + o] = data[(o * inner + i) * taps + tap];
      }
    }
  }
  return turned;
}

/** x [B, H, W, I] correlated with weight [O, I, kh, kw]; one padding number serves all four sides. */
export function conv2d(
  b: GraphBuilder,
  x: Value,
  weight: Value,
  bias?: Value,
  { stride = 1, padding = 0 }: { stride?: number; padding?: number | Padding } = {},
): Value {
  const sides: Padding =
    typeof padding === 'number' ? [padding, padding, padding, padding] : padding;
  const attributes = { ...PLAIN_EPILOGUE, stride, padding: sides, upsample: 1 as const };
  return b.apply('conv2d', { x, weight, bias }, attributes)[0];
}
