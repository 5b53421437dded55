import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { noFlops, type OpDefinition } from '../op.ts';
import { layerNormGradient } from './layer-norm-gradient.ts';
import { requireFloating, requireMinimumRank, requireShape } from './rules.ts';
import { type QuantizeAttribute, storedType } from './stored-type.ts';

type Inputs = {
  /** [..., C] */
  readonly x: Value;
  /** [C] */
  readonly gamma: Value;
  /** [C] */
  readonly beta: Value;
};
export type LayerNormAttributes = QuantizeAttribute & { readonly eps: number };

/** Layer normalisation (arXiv 1607.06450) over the last axis. */
export const layerNormOp: OpDefinition<Inputs, LayerNormAttributes> = {
  name: 'layerNorm',
  operands: { x: 'required', gamma: 'required', beta: 'required' },
  infer({ x, gamma, beta }, attributes) {
    requireFloating('x', x);
    requireMinimumRank('x', x, 1);
    requireFloating('gamma', gamma);
    requireFloating('beta', beta);
    requireShape('gamma', gamma, x.shape.slice(-1));
    requireShape('beta', beta, x.shape.slice(-1));
    return [storedType({ dtype: x.dtype, shape: x.shape }, attributes)];
  },
  evaluate({ x, gamma, beta }, { eps }) {
    const channels = gamma.data.length;
    const out = new Float64Array(x.data.length);
    for (let at = 0; at < out.length; at += channels) {
      const row = x.data.subarray(at, at + channels);
      const mean = row.reduce((total, value) => total + value, 0) / channels;
      const variance = row.reduce((total, value) => total + (value - mean) ** 2, 0) / channels;
      const inverse = 1 / Math.sqrt(variance + eps);
      for (let c = 0; c < channels; c++) {
        out[at + c] = (row[c] - mean) * inverse * gamma.data[c] + beta.data[c];
      }
    }
    return [out];
  },
  flops: noFlops,
  vjp: (b, { x, gamma }, _outputs, [gradient], { eps }) =>
    layerNormGradient(b, { x, gamma, gradient }, { eps }),
};

export function layerNorm(
  b: GraphBuilder,
  x: Value,
  gamma: Value,
  beta: Value,
  { eps }: LayerNormAttributes,
): Value {
  return b.apply('layerNorm', { x, gamma, beta }, { eps })[0];
}
