import { roundToEven } from '../../core/quantization-params.ts';
import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { noFlops, type OpDefinition, reject } from '../op.ts';
import { fakeQuantizeGradient } from './fake-quantize-gradient.ts';
import {
  type CodeRange,
  type FakeQuantizeAttributes,
  type FakeQuantizeInputs,
  inferFakeQuantize,
} from './fake-quantize-operands.ts';
import { fakeQuantizeScaleGradient } from './fake-quantize-scale-gradient.ts';

/**
 * The real numbers that codes of x stand for: (clamp(⌊x/scale⌉ + zero) − zero) · scale, rounded half
 * to even. Weights have a scale for each output channel, which is their first axis; activations for
 * each sample of a batch, since samples may be of different timesteps.
 *
 * Gradients are straight through where x is rounded to a code, and zero beyond the last ones; that of the scale
 * is the one of LSQ (Esser et al., arXiv 1902.08153, eq. 3). The zero point has none.
 */
export const fakeQuantizeOp: OpDefinition<FakeQuantizeInputs, FakeQuantizeAttributes> = {
  name: 'fakeQuantize',
  operands: { x: 'required', scale: 'required', zero: 'optional' },
  infer(types, attributes) {
    inferFakeQuantize(types, attributes);
    if (!Number.isFinite(attributes.gradientScale)) {
      reject(`Attribute gradientScale is ${attributes.gradientScale}; it must be finite.`);
    }
    return [{ dtype: types.x.dtype, shape: types.x.shape }];
  },
  evaluate({ x, scale, zero }, { lowest, highest }) {
    const { data } = x;
    const row = data.length / scale.data.length;
    return [
      data.map((value, i) => {
        const n = Math.floor(i / row);
        const origin = zero?.data[n] ?? 0;
        const code = roundToEven(value / scale.data[n]) + origin;
        return (Math.min(Math.max(code, lowest), highest) - origin) * scale.data[n];
      }),
    ];
  },
  flops: noFlops,
  vjp(b, inputs, _outputs, [gradient], { lowest, highest, gradientScale }) {
    const operands = { ...inputs, gradient };
    return {
      x: fakeQuantizeGradient(b, operands, { lowest, highest }),
      scale: fakeQuantizeScaleGradient(b, operands, { lowest, highest, gradientScale }),
    };
  },
};

/**
 * Rounds x to codes from `lowest` to `highest` and back. `gradientScale` balances learned scales with
 * the weights; LSQ proposes 1/√(elements · highest).
 */
export function fakeQuantize(
  b: GraphBuilder,
  inputs: FakeQuantizeInputs,
  { lowest, highest, gradientScale = 1 }: CodeRange & { readonly gradientScale?: number },
): Value {
  return b.apply('fakeQuantize', inputs, { lowest, highest, gradientScale })[0];
}
