import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { type OpDefinition, reject } from '../op.ts';
import {
  requireFloating,
  requireRank,
  requireSameDType,
  requireShape,
  requireWhole,
} from './rules.ts';
import { softmaxRow } from './softmax.ts';
import { type QuantizeAttribute, storedType } from './stored-type.ts';

type Inputs = {
  /** [batch, N, heads · headDim] */
  readonly q: Value;
  /** [batch, M, heads · headDim] */
  readonly k: Value;
  /** [batch, M, heads · headDim] */
  readonly v: Value;
};
export type AttentionAttributes = QuantizeAttribute & {
  readonly heads: number;
  /** Factor on q · k. */
  readonly scale: number;
  /** Whether query n sees keys 0 … n only. */
  readonly causal: boolean;
  /**
   * 'int8': q and k are quantized on the fly for their product. The reference evaluation knows
   * nothing of it: it is a matter of precision.
   */
  readonly scores?: 'int8';
};

/**
 * Multi-head attention (arXiv 1706.03762), heads side by side on the last axis:
 * softmax(scale · q kᵀ) v. Its gradient is a backward op that comes with training.
 */
export const attentionOp: OpDefinition<Inputs, AttentionAttributes> = {
  name: 'attention',
  operands: { q: 'required', k: 'required', v: 'required' },
  infer({ q, k, v }, attributes) {
    const { heads, causal } = attributes;
    requireFloating('q', q);
    requireRank('q', q, 3);
    requireRank('k', k, 3);
    requireSameDType('k', k, q.dtype);
    requireSameDType('v', v, q.dtype);
    const [batch, queries, channels] = q.shape;
    const keys = causal ? queries : k.shape[1];
    requireShape('k', k, [batch, keys, channels]);
    requireShape('v', v, [batch, keys, channels]);
    requireWhole('heads', heads, 1, channels);
    if (channels % heads !== 0) {
      reject(`${channels} channels do not split into ${heads} equal heads; use a divisor.`);
    }
    return [storedType({ dtype: q.dtype, shape: q.shape }, attributes)];
  },
  evaluate({ q, k, v }, { heads, scale, causal }) {
    const [batch, queries, channels] = q.shape;
    const keys = k.shape[1];
    const width = channels / heads;
    const out = new Float64Array(q.data.length);
    for (let task = 0; task < batch * heads * queries; task++) {
      const image = Math.floor(task / (heads * queries));
      const query = task % queries;
      const column = (Math.floor(task / queries) % heads) * width;
      const atQ = (image * queries + query) * channels + column;
      const visible = causal ? query + 1 : keys;
      const weights = new Float64Array(visible);
      for (let key = 0; key < visible; key++) {
        const atK = (image * keys + key) * channels + column;
        for (let d = 0; d < width; d++) weights[key] += q.data[atQ + d] * k.data[atK + d] * scale;
      }
      softmaxRow(weights);
      for (let key = 0; key < visible; key++) {
        const atV = (image * keys + key) * channels + column;
        for (let d = 0; d < width; d++) out[atQ + d] += weights[key] * v.data[atV + d];
      }
    }
    return [out];
  },
  /** Two products of N × M × channels; the causal form needs the lower triangle only. */
  flops({ q, k }, { causal }) {
    const [batch, queries, channels] = q.shape;
    const pairs = causal ? (queries * (queries + 1)) / 2 : queries * k.shape[1];
    return 4 * batch * pairs * channels;
  },
  vjp: 'not-differentiable',
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
