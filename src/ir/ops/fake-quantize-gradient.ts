import { roundToEven } from '../../core/quantization-params.ts';
import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { noFlops, type OpDefinition } from '../op.ts';
import {
  type CodeRange,
  type FakeQuantizeInputs,
  inferFakeQuantize,
} from './fake-quantize-operands.ts';
import { requireSameDType, requireShape } from './rules.ts';

export type FakeQuantizeGradientInputs = FakeQuantizeInputs & {
  /** Of the rounded numbers, like x. */
  readonly gradient: Value;
};

/**
 * The straight-through gradient of fakeQuantize for x (Bengio et al., arXiv 1308.3432): rounding counts
 * as the identity where lowest ≤ ⌊x/scale⌉ + zero ≤ highest and as a constant elsewhere. So the largest
 * weight of a channel, which its scale often puts at the last code exactly, lies safely inside.
 */
export const fakeQuantizeGradientOp: OpDefinition<FakeQuantizeGradientInputs, CodeRange> = {
  name: 'fakeQuantizeGradient',
  operands: { x: 'required', scale: 'required', zero: 'optional', gradient: 'required' },
  infer(types, range) {
    const { x, gradient } = types;
    inferFakeQuantize(types, range);
    requireSameDType('gradient', gradient, x.dtype);
    requireShape('gradient', gradient, x.shape);
    return [{ dtype: x.dtype, shape: x.shape }];
  },
  evaluate({ x, scale, zero, gradient }, { lowest, highest }) {
    const row = x.data.length / scale.data.length;
    return [
      gradient.data.map((value, i) => {
        const n = Math.floor(i / row);
        const code = roundToEven(x.data[i] / scale.data[n]) + (zero?.data[n] ?? 0);
        return code >= lowest && code <= highest ? value : 0;
      }),
    ];
  },
  flops: noFlops,
  vjp: 'not-differentiable',
};

/** The gradient of fakeQuantize's x. */
export function fakeQuantizeGradient(
  b: GraphBuilder,
  inputs: FakeQuantizeGradientInputs,
  { lowest, highest }: CodeRange,
): Value {
  return b.apply('fakeQuantizeGradient', inputs, { lowest, highest })[0];
}
