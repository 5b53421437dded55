import { roundToEven } from '../../core/quantization-params.ts';
import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { noFlops, type OpDefinition } from '../op.ts';
import {
  type FakeQuantizeGradientInputs,
  fakeQuantizeGradientOp,
} from './fake-quantize-gradient.ts';
import type { FakeQuantizeAttributes } from './fake-quantize-operands.ts';

/**
 * The gradient of fakeQuantize for its scale, like the scale (Esser et al., "Learned Step Size
 * Quantization", arXiv 1902.08153, eq. 3, with a zero point): the sum over the elements that share it of
 * the gradient times ⌊v⌉ − v where v = x/scale is rounded to a code, and times lowest − zero or
 * highest − zero beyond them; then times `gradientScale`.
 */
export const fakeQuantizeScaleGradientOp: OpDefinition<
  FakeQuantizeGradientInputs,
  FakeQuantizeAttributes
> = {
  name: 'fakeQuantizeScaleGradient',
  operands: fakeQuantizeGradientOp.operands,
  infer(types, attributes) {
    fakeQuantizeGradientOp.infer(types, attributes);
    return [{ dtype: types.scale.dtype, shape: types.scale.shape }];
  },
  evaluate({ x, scale, zero, gradient }, { lowest, highest, gradientScale }) {
    const sums = new Float64Array(scale.data.length);
    const row = x.data.length / sums.length;
    for (const [i, value] of x.data.entries()) {
      const n = Math.floor(i / row);
      const origin = zero?.data[n] ?? 0;
      const steps = value / scale.data[n];
      const rounded = roundToEven(steps);
      const held = Math.min(Math.max(rounded, lowest - origin), highest - origin);
      const slope = held === rounded ? rounded - steps : held;
      sums[n] += gradient.data[i] * slope * gradientScale;
    }
    return [sums];
  },
  flops: noFlops,
  vjp: 'not-differentiable',
};

/** The gradient of fakeQuantize's scale. */
export function fakeQuantizeScaleGradient(
  b: GraphBuilder,
  inputs: FakeQuantizeGradientInputs,
  { lowest, highest, gradientScale }: FakeQuantizeAttributes,
): Value {
  const attributes = { lowest, highest, gradientScale };
  return b.apply('fakeQuantizeScaleGradient', inputs, attributes)[0];
}
