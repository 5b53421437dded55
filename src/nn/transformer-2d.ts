import type { Value } from '../ir/graph.ts';
import type { GraphBuilder } from '../ir/graph-builder.ts';
import { add, geglu } from '../ir/ops/index.ts';
import { imageToTokens, multiHeadAttention, tokensToImage } from './attention.ts';
import { channelsOf, conv2d, groupNorm, layerNorm, linear } from './layers.ts';

export interface Transformer2DOptions {
  readonly heads: number;
  readonly groups: number;
  /** Number of transformer blocks. */
  readonly layers: number;
  /** SD 2 projects in and out by linear layers, SD 1 by 1×1 convolutions: the same mathematics. */
  readonly linearProjection: boolean;
}

/** The norm before the projection has this epsilon in every Stable Diffusion, whatever norm_eps. */
const NORM_EPS = 1e-6;

/**
 * The spatial transformer of latent diffusion (arXiv 2112.10752, appendix E.2.1): pixels become
 * tokens, attend to each other and to the context [batch, tokens, width], and are added back.
 */
export function transformer2D(
  b: GraphBuilder,
  path: string,
  x: Value,
  context: Value,
  { heads, groups, layers, linearProjection }: Transformer2DOptions,
): Value {
  return b.scope(path, () => {
    const channels = channelsOf(x);
    const project = (name: string, value: Value) =>
      linearProjection
        ? linear(b, name, value, channels)
        : conv2d(b, name, value, channels, { kernel: 1 });
    let tokens = project('proj_in', groupNorm(b, 'norm', x, { groups, eps: NORM_EPS }));
    tokens = imageToTokens(b, tokens);
    for (let i = 0; i < layers; i++) {
      tokens = transformerBlock(b, `transformer_blocks.${i}`, tokens, context, heads);
    }
    return add(b, project('proj_out', tokensToImage(b, tokens, x)), x);
  });
}

/** Self-attention, cross-attention and feed-forward, each after a norm and with a residual. */
function transformerBlock(
  b: GraphBuilder,
  path: string,
  x: Value,
  context: Value,
  heads: number,
): Value {
  return b.scope(path, () => {
    let tokens = x;
    const normed = layerNorm(b, 'norm1', tokens);
    tokens = add(b, multiHeadAttention(b, 'attn1', normed, normed, heads), tokens);
    const queries = layerNorm(b, 'norm2', tokens);
    tokens = add(b, multiHeadAttention(b, 'attn2', queries, context, heads), tokens);
    return add(b, feedForward(b, 'ff.net', layerNorm(b, 'norm3', tokens)), tokens);
  });
}

/** GEGLU feed-forward (arXiv 2002.05202), four times as wide inside. */
function feedForward(b: GraphBuilder, path: string, x: Value): Value {
  const channels = channelsOf(x);
  return b.scope(path, () => {
    const gated = geglu(b, linear(b, '0.proj', x, 8 * channels));
    return linear(b, '2', gated, channels);
  });
}
