import type { Value } from '../ir/graph.ts';
import type { GraphBuilder } from '../ir/graph-builder.ts';
import { add, affine, attention, reshape } from '../ir/ops/index.ts';
import { channelsOf, groupNorm, linear } from './layers.ts';

/**
 * Multi-head attention (arXiv 1706.03762) of tokens [batch, N, channels] over a context
 * [batch, M, width]; self-attention when the context is the input. In cross-attention `to_k` and
 * `to_v` depend on the context alone, so one evaluation per prompt is enough.
 */
export function multiHeadAttention(
  b: GraphBuilder,
  path: string,
  x: Value,
  context: Value,
  heads: number,
): Value {
  return b.scope(path, () => attend(b, x, context, { heads, bias: false }));
}

function attend(
  b: GraphBuilder,
  x: Value,
  context: Value,
  { heads, bias }: { readonly heads: number; readonly bias: boolean },
): Value {
  const channels = channelsOf(x);
  const query = linear(b, 'to_q', x, channels, { bias });
  const key = linear(b, 'to_k', context, channels, { bias });
  const value = linear(b, 'to_v', context, channels, { bias });
  const mixed = attention(b, query, key, value, { heads });
  return linear(b, 'to_out.0', mixed, channels);
}

export interface ImageAttentionOptions {
  readonly heads: number;
  readonly groups: number;
  readonly eps: number;
  /** The sum with the input is divided by this. */
  readonly outputScaleFactor?: number;
}

/** Self-attention between the pixels of an image, with its norm and its residual connection. */
export function imageAttention(
  b: GraphBuilder,
  path: string,
  x: Value,
  { heads, groups, eps, outputScaleFactor = 1 }: ImageAttentionOptions,
): Value {
  return b.scope(path, () => {
    const tokens = imageToTokens(b, groupNorm(b, 'group_norm', x, { groups, eps }));
    const mixed = attend(b, tokens, tokens, { heads, bias: true });
    return divide(b, add(b, tokensToImage(b, mixed, x), x), outputScaleFactor);
  });
}

/** [batch, height, width, channels] → [batch, height × width, channels]; moves no data. */
export function imageToTokens(b: GraphBuilder, x: Value): Value {
  const [batch, height, width, channels] = x.shape;
  return reshape(b, x, [batch, height * width, channels]);
}

/** Tokens back to an image of the height and width of `like`; moves no data. */
export function tokensToImage(b: GraphBuilder, x: Value, like: Value): Value {
  const [batch, height, width] = like.shape;
  return reshape(b, x, [batch, height, width, channelsOf(x)]);
}

/** x / divisor, and no node at all for 1. */
export function divide(b: GraphBuilder, x: Value, divisor: number): Value {
  return divisor === 1 ? x : affine(b, x, { scale: 1 / divisor, offset: 0 });
}
