import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import type { OpDefinition } from '../op.ts';
import {
  type AttentionForm,
  attentionPairs,
  attentionRows,
  dot,
  requireAttentionOperands,
} from './attention-rows.ts';
import { requireSameDType, requireShape } from './rules.ts';

type Inputs = {
  /** [batch, N, heads · headDim] */
  readonly q: Value;
  /** [batch, M, heads · headDim] */
  readonly k: Value;
  /** [batch, M, heads · headDim] */
  readonly v: Value;
  /** What attention gave for these, [batch, N, heads · headDim] */
  readonly output: Value;
  /** Of that output */
  readonly gradient: Value;
};

/**
 * Gradients of attention, of q, k and v, without a matrix of N × M probabilities from the forward
 * pass: they are computed again, row by row (arXiv 2205.14135, appendix B.2). With probabilities P
 * and incoming dO: dV = Pᵀ dO, dP = dO Vᵀ, dS = P ∘ (dP − rowsum(dO ∘ O)), dQ = scale · dS K,
 * dK = scale · dSᵀ Q. It has no gradient rule: training takes first derivatives only.
 */
export const attentionGradientOp: OpDefinition<Inputs, AttentionForm> = {
  name: 'attentionGradient',
  operands: {
    q: 'required',
    k: 'required',
    v: 'required',
    output: 'required',
    gradient: 'required',
  },
  infer(types, attributes) {
    requireAttentionOperands(types, attributes);
    const { q, k, v, output, gradient } = types;
    for (const [name, type] of Object.entries({ output, gradient })) {
      requireSameDType(name, type, q.dtype);
      requireShape(name, type, q.shape);
    }
    return [q, k, v].map(({ dtype, shape }) => ({ dtype, shape }));
  },
  evaluate(arrays, attributes) {
    const { q, k, v, output, gradient } = arrays;
    const dq = new Float64Array(q.data.length);
    const dk = new Float64Array(k.data.length);
    const dv = new Float64Array(v.data.length);
    for (const { atQ, width, weights, atK } of attentionRows(arrays, attributes)) {
      const shift = dot(gradient.data, atQ, output.data, atQ, width);
      for (const [key, weight] of weights.entries()) {
        const at = atK(key);
        const dWeight = dot(gradient.data, atQ, v.data, at, width);
        const dScore = attributes.scale * weight * (dWeight - shift);
        for (let d = 0; d < width; d++) {
          dq[atQ + d] += dScore * k.data[at + d];
          dk[at + d] += dScore * q.data[atQ + d];
          dv[at + d] += weight * gradient.data[atQ + d];
        }
      }
    }
    return [dq, dk, dv];
  },
  /** Five products: the scores again, dP, dV, dQ and dK. */
  flops: (types, attributes) => 10 * attentionPairs(types, attributes) * types.q.shape[2],
  vjp: 'not-differentiable',
};

/** Gradients of an attention's q, k and v. */
export function attentionGradient(
  b: GraphBuilder,
  { q, k, v, output, gradient }: Inputs,
  { heads, scale, causal }: AttentionForm,
): { q: Value; k: Value; v: Value } {
  const inputs = { q, k, v, output, gradient };
  const outputs = b.apply('attentionGradient', inputs, { heads, scale, causal });
  return { q: outputs[0], k: outputs[1], v: outputs[2] };
}
