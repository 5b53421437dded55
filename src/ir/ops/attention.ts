import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import type { OpDefinition } from '../op.ts';
import { attentionGradient } from './attention-gradient.ts';
import {
  type AttentionForm,
  attentionPairs,
  attentionRows,
  requireAttentionOperands,
} from './attention-rows.ts';
import { refuseFused } from './rules.ts';
import { type QuantizeAttribute, storedType } from './stored-type.ts';

type Inputs = {
  /** [batch, N, heads · headDim] */
  readonly q: Value;
  /** [batch, M, heads · headDim] */
  readonly k: Value;
  /** [batch, M, heads · headDim] */
  readonly v: Value;
};
export type AttentionAttributes = QuantizeAttribute &
  AttentionForm & {
    /**
     * 'int8': q and k are quantized on the fly for their product. The reference evaluation knows
     * nothing of it: it is a matter of precision.
     */
    readonly scores?: 'int8';
  };

/**
 * Multi-head attention (arXiv 1706.03762), heads side by side on the last axis:
 * softmax(scale · q kᵀ) v.
 */
export const attentionOp: OpDefinition<Inputs, AttentionAttributes> = {
  name: 'attention',
  operands: { q: 'required', k: 'required', v: 'required' },
  infer(types, attributes) {
    requireAttentionOperands(types, attributes);
    const { dtype, shape } = types.q;
    return [storedType({ dtype, shape }, attributes)];
  },
  evaluate({ q, k, v }, attributes) {
    const out = new Float64Array(q.data.length);
    for (const { atQ, width, weights, atK } of attentionRows({ q, k }, attributes)) {
      for (const [key, weight] of weights.entries()) {
        const atV = atK(key);
        for (let d = 0; d < width; d++) out[atQ + d] += weight * v.data[atV + d];
      }
    }
    return [out];
  },
  /** Two products of N × M × channels; the causal form needs the lower triangle only. */
  flops: (types, attributes) => 4 * attentionPairs(types, attributes) * types.q.shape[2],
  vjp(b, { q, k, v }, [output], [gradient], { heads, scale, causal, scores }) {
    if (scores) refuseFused();
    return attentionGradient(b, { q, k, v, output, gradient }, { heads, scale, causal });
  },
};

/** Multi-head attention; `scale` is 1/√headDim unless given. */
export function attention(
  b: GraphBuilder,
  q: Value,
  k: Value,
  v: Value,
  { heads, scale, causal = false }: { heads: number; scale?: number; causal?: boolean },
): Value {
  const headDim = (q.shape.at(-1) ?? 0) / heads;
  const attributes = { heads, scale: scale ?? 1 / Math.sqrt(headDim), causal };
  return b.apply('attention', { q, k, v }, attributes)[0];
}
