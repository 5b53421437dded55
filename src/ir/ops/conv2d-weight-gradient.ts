import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import type { OpDefinition } from '../op.ts';
import {
  type Conv2dGeometry,
  forEachTap,
  outputExtents,
  unturnWeights,
} from './conv2d-geometry.ts';
import {
  product,
  requireFloating,
  requireRank,
  requireSameDType,
  requireShape,
  requireWhole,
} from './rules.ts';

type Inputs = {
  /** The convolution's source, [batch, height, width, I] */
  readonly x: Value;
  /** [batch, output height, output width, O] */
  readonly gradient: Value;
};
export type Conv2dWeightGradientAttributes = Conv2dGeometry & {
  readonly kernelHeight: number;
  readonly kernelWidth: number;
};

/**
 * The gradient of a convolution's weight, [O, I, kernel height, kernel width]: for each tap, the
 * product of the output's gradient with the source pixels which that tap read. It has no gradient
 * rule: training takes first derivatives only.
 */
export const conv2dWeightGradientOp: OpDefinition<Inputs, Conv2dWeightGradientAttributes> = {
  name: 'conv2dWeightGradient',
  operands: { x: 'required', gradient: 'required' },
  infer({ x, gradient }, { kernelHeight, kernelWidth, ...geometry }) {
    requireFloating('x', x);
    requireSameDType('gradient', gradient, x.dtype);
    requireRank('x', x, 4);
    requireRank('gradient', gradient, 4);
    requireWhole('kernelHeight', kernelHeight, 1);
    requireWhole('kernelWidth', kernelWidth, 1);
    const [batch, height, width, inner] = x.shape;
    const extents = outputExtents([height, width], [kernelHeight, kernelWidth], geometry);
    const outputs = gradient.shape[3];
    requireShape('gradient', gradient, [batch, ...extents, outputs]);
    return [{ dtype: x.dtype, shape: [outputs, inner, kernelHeight, kernelWidth] }];
  },
  evaluate({ x, gradient }, { kernelHeight, kernelWidth, ...geometry }, [{ shape }]) {
    const [outputs, inner] = shape;
    const turned = new Float64Array(product(shape));
    const kernel = [kernelHeight, kernelWidth] as const;
    const shapes = { source: x.shape, output: gradient.shape, kernel };
    forEachTap(shapes, geometry, (pixel, tap, sourcePixel) => {
      const at = pixel * outputs;
      for (let i = 0; i < inner; i++) {
        const value = x.data[sourcePixel * inner + i];
        const row = (tap * inner + i) * outputs;
        for (let o = 0; o < outputs; o++) turned[row + o] += value * gradient.data[at + o];
      }
    });
    return [unturnWeights(turned, shape)];
  },
  /** As many as the convolution itself. */
  flops: ({ gradient }, _attributes, [{ shape }]) =>
    2 * product(gradient.shape.slice(0, 3)) * product(shape),
  vjp: 'not-differentiable',
};

/** Source [B, H, W, I] and gradient [B, h, w, O] of the output to that of the weight. */
export function conv2dWeightGradient(
  b: GraphBuilder,
  x: Value,
  gradient: Value,
  { stride, padding, kernelHeight, kernelWidth }: Conv2dWeightGradientAttributes,
): Value {
  const attributes = { stride, padding, kernelHeight, kernelWidth };
  return b.apply('conv2dWeightGradient', { x, gradient }, attributes)[0];
}
