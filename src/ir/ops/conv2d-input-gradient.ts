import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import type { OpDefinition } from '../op.ts';
import { type Conv2dGeometry, forEachTap, outputExtents, turnWeights } from './conv2d-geometry.ts';
import {
  product,
  requireFloating,
  requireRank,
  requireSameDType,
  requireShape,
  requireWhole,
} from './rules.ts';

type Inputs = {
  /** [batch, output height, output width, O] */
  readonly gradient: Value;
  /** [O, I, kernel height, kernel width] */
  readonly weight: Value;
};
export type Conv2dInputGradientAttributes = Conv2dGeometry & {
  /** Of the source, which a stride rounds away. */
  readonly height: number;
  readonly width: number;
};

/**
 * The gradient of a convolution's source, [batch, height, width, I]: every output pixel's gradient
 * goes back through the weights to the pixels it was made from (a transposed convolution). It has no
 * gradient rule: training takes first derivatives only.
 */
export const conv2dInputGradientOp: OpDefinition<Inputs, Conv2dInputGradientAttributes> = {
  name: 'conv2dInputGradient',
  operands: { gradient: 'required', weight: 'required' },
  infer({ gradient, weight }, { height, width, ...geometry }) {
    requireFloating('gradient', gradient);
    requireSameDType('weight', weight, gradient.dtype);
    requireRank('gradient', gradient, 4);
    requireRank('weight', weight, 4);
    requireWhole('height', height, 1);
    requireWhole('width', width, 1);
    const [outputs, inner, ...kernel] = weight.shape;
    const extents = outputExtents([height, width], [kernel[0], kernel[1]], geometry);
    const batch = gradient.shape[0];
    requireShape('gradient', gradient, [batch, ...extents, outputs]);
    return [{ dtype: gradient.dtype, shape: [batch, height, width, inner] }];
  },
  evaluate({ gradient, weight }, geometry, [{ shape: source }]) {
    const [outputs, inner, ...kernel] = weight.shape;
    const turned = turnWeights(weight);
    const out = new Float64Array(product(source));
    const shapes = { source, output: gradient.shape, kernel: [kernel[0], kernel[1]] } as const;
    forEachTap(shapes, geometry, (pixel, tap, sourcePixel) => {
      const at = pixel * outputs;
      for (let i = 0; i < inner; i++) {
        const row = (tap * inner + i) * outputs;
        let total = 0;
        for (let o = 0; o < outputs; o++) total += gradient.data[at + o] * turned[row + o];
        out[sourcePixel * inner + i] += total;
      }
    });
    return [out];
  },
  /** As many as the convolution itself. */
  flops: ({ gradient, weight }) => 2 * product(gradient.shape.slice(0, 3)) * product(weight.shape),
  vjp: 'not-differentiable',
};

/** Gradient [B, h, w, O] of a convolution's output to that of its source [B, height, width, I]. */
export function conv2dInputGradient(
  b: GraphBuilder,
  gradient: Value,
  weight: Value,
  { stride, padding, height, width }: Conv2dInputGradientAttributes,
): Value {
  const attributes = { stride, padding, height, width };
  return b.apply('conv2dInputGradient', { gradient, weight }, attributes)[0];
}
