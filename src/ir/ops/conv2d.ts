import type { Shape } from '../../core/shape.ts';
import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import type { NumericArray, OpDefinition } from '../op.ts';
import { concatArrays } from './concat.ts';
import {
  type Conv2dGeometry,
  forEachTap,
  outputExtents,
  type Padding,
  turnWeights,
} from './conv2d-geometry.ts';
import { conv2dInputGradient } from './conv2d-input-gradient.ts';
import { conv2dWeightGradient } from './conv2d-weight-gradient.ts';
import {
  applyEpilogue,
  biasGradient,
  type EpilogueAttributes,
  type EpilogueInputs,
  inferEpilogue,
  inferFloatType,
  PLAIN_EPILOGUE,
  requirePlain,
} from './epilogue.ts';
import { sourceChannels } from './linear.ts';
import { product, refuseFused, requireRank, requireShape, requireWhole } from './rules.ts';
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

export type { Padding };
export type Conv2dAttributes = EpilogueAttributes &
  Conv2dGeometry & {
    /** 2: the source is read through nearest-neighbour upsampling by 2, and padded after that. */
    readonly upsample: 1 | 2;
  };

/**
 * Two-dimensional cross-correlation, channels last, followed by the fused epilogue. The gradient
 * rule covers the plain form only: differentiate before fusing.
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
    const shape = [x.shape[0], ...extentsOf(x.shape, weight.shape, attributes), outputs];
    return inferEpilogue(types, attributes, { dtype, shape });
  },
  evaluate(arrays, attributes) {
    const { x, skip, weight } = arrays;
    const joined = skip ? concatArrays(x, skip, 3) : x;
    const source =
      attributes.upsample === 2
        ? upsampleArray(joined, { height: 2 * x.shape[1], width: 2 * x.shape[2] })
        : joined;
    const extents = extentsOf(x.shape, weight.shape, attributes);
    const shape = [x.shape[0], ...extents, weight.shape[0]];
    return applyEpilogue(correlate(source, weight, attributes, shape), shape, arrays, attributes);
  },
  flops(types, attributes) {
    const { x, weight } = types;
    const pixels = product(extentsOf(x.shape, weight.shape, attributes));
    return 2 * x.shape[0] * pixels * product(weight.shape);
  },
  vjp(b, inputs, _outputs, [gradient], attributes) {
    requirePlain(inputs, attributes);
    if (attributes.upsample !== 1) refuseFused();
    const { x, weight, bias } = inputs;
    const { stride, padding } = attributes;
    const [, height, width] = x.shape;
    const [, , kernelHeight, kernelWidth] = weight.shape;
    return {
      x: conv2dInputGradient(b, gradient, weight, { stride, padding, height, width }),
      weight: conv2dWeightGradient(b, x, gradient, { stride, padding, kernelHeight, kernelWidth }),
      ...(bias && { bias: biasGradient(b, gradient, bias) }),
    };
  },
};

/** Height and width of the output. */
function extentsOf(x: Shape, weight: Shape, attributes: Conv2dAttributes): [number, number] {
  const { upsample } = attributes;
  requireWhole('upsample', upsample, 1, 2);
  return outputExtents([x[1] * upsample, x[2] * upsample], [weight[2], weight[3]], attributes);
}

/** The sums of products, before the epilogue. */
function correlate(
  source: NumericArray,
  weight: NumericArray,
  attributes: Conv2dAttributes,
  shape: Shape,
): Float64Array {
  const [outputs, inner, ...kernel] = weight.shape;
  const turned = turnWeights(weight);
  const out = new Float64Array(product(shape));
  const shapes = { source: source.shape, output: shape, kernel: [kernel[0], kernel[1]] } as const;
  forEachTap(shapes, attributes, (pixel, tap, sourcePixel) => {
    const at = pixel * outputs;
    for (let i = 0; i < inner; i++) {
      const value = source.data[sourcePixel * inner + i];
      const row = (tap * inner + i) * outputs;
      for (let o = 0; o < outputs; o++) out[at + o] += value * turned[row + o];
    }
  });
  return out;
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
