import type { TensorType } from '../graph.ts';
import { type NumericArray, reject } from '../op.ts';
import {
  requireFloating,
  requireRank,
  requireSameDType,
  requireShape,
  requireWhole,
} from './rules.ts';
import { softmaxRow } from './softmax.ts';

/** What attention and its gradient have in common. */
export type AttentionForm = {
  readonly heads: number;
  /** Factor on q · k. */
  readonly scale: number;
  /** Whether query n sees keys 0 … n only. */
  readonly causal: boolean;
};

/** Checks q [batch, N, heads · headDim] and k and v [batch, M, heads · headDim]. */
export function requireAttentionOperands(
  { q, k, v }: { readonly q: TensorType; readonly k: TensorType; readonly v: TensorType },
  { heads, causal }: AttentionForm,
): void {
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
}

/** Pairs of a query and a key it sees, all images of a batch together, for one head. */
export function attentionPairs(
  { q, k }: { readonly q: TensorType; readonly k: TensorType },
  { causal }: AttentionForm,
): number {
  const [batch, queries] = q.shape;
  return batch * (causal ? (queries * (queries + 1)) / 2 : queries * k.shape[1]);
}

/** One query of one head. */
export interface AttentionRow {
  /** Where the query, of `width` numbers, starts in q. */
  readonly atQ: number;
  readonly width: number;
  /** The probabilities of the keys it sees: softmax of scale · q · k. */
  readonly weights: Float64Array;
  /** Where key i starts in k, and its value in v. */
  atK(key: number): number;
}

/** Every query of every head and image. */
export function* attentionRows(
  { q, k }: { readonly q: NumericArray; readonly k: NumericArray },
  { heads, scale, causal }: AttentionForm,
): Generator<AttentionRow> {
  const [batch, queries, channels] = q.shape;
  const keys = k.shape[1];
  const width = channels / heads;
  for (let task = 0; task < batch * heads * queries; task++) {
    const image = Math.floor(task / (heads * queries));
    const query = task % queries;
    const column = (Math.floor(task / queries) % heads) * width;
    const atQ = (image * queries + query) * channels + column;
    const atK = (key: number) => (image * keys + key) * channels + column;
    const weights = new Float64Array(causal ? query + 1 : keys);
    for (let key = 0; key < weights.length; key++) {
      weights[key] = scale * dot(q.data, atQ, k.data, atK(key), width);
    }
    softmaxRow(weights);
    yield { atQ, width, weights, atK };
  }
}

/** The inner product of `width` numbers of a, from atA, and of b, from atB. */
export function dot(
  a: Float64Array,
  atA: number,
  b: Float64Array,
  atB: number,
  width: number,
): number {
  let total = 0;
  for (let d = 0; d < width; d++) total += a[atA + d] * b[atB + d];
  return total;
}
