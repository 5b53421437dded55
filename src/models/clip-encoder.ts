import type { Value } from '../ir/graph.ts';
import type { GraphBuilder } from '../ir/graph-builder.ts';
import { add, attention, gelu, quickGelu } from '../ir/ops/index.ts';
import { layerNorm, linear } from '../nn/layers.ts';

/** What CLIP's two transformers have in common. */
export interface CLIPEncoderConfig {
  readonly width: number;
  readonly feedForwardWidth: number;
  readonly layers: number;
  readonly heads: number;
  /** OpenAI's x · sigmoid(1.702 x), or the exact GELU. */
  readonly activation: 'quickGelu' | 'gelu';
  readonly normEps: number;
}

/**
 * A layer of CLIP's transformers (arXiv 2103.00020, section 2.4), norms before attention and
 * feed-forward: [batch, tokens, width] to the same. Texts are `causal`, images are not.
 */
export function clipEncoderLayer(
  b: GraphBuilder,
  config: CLIPEncoderConfig,
  x: Value,
  { causal }: { readonly causal: boolean },
): Value {
  const { width, heads, normEps, feedForwardWidth } = config;
  const normed = layerNorm(b, 'layer_norm1', x, normEps);
  const attended = b.scope('self_attn', () => {
    const query = linear(b, 'q_proj', normed, width);
    const key = linear(b, 'k_proj', normed, width);
    const value = linear(b, 'v_proj', normed, width);
    const mixed = attention(b, query, key, value, { heads, causal });
    return linear(b, 'out_proj', mixed, width);
  });
  const middle = add(b, attended, x);
  const normedMiddle = layerNorm(b, 'layer_norm2', middle, normEps);
  const activate = config.activation === 'gelu' ? gelu : quickGelu;
  const fed = b.scope('mlp', () => {
    const hidden = linear(b, 'fc1', normedMiddle, feedForwardWidth);
    return linear(b, 'fc2', activate(b, hidden), width);
  });
  return add(b, fed, middle);
}
