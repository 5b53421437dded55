import { BookendError } from '../core/errors.ts';
import type { Graph, Value } from '../ir/graph.ts';
import { GraphBuilder } from '../ir/graph-builder.ts';
import { add, attention, gelu, quickGelu, slice } from '../ir/ops/index.ts';
import { embedding, layerNorm, linear } from '../nn/layers.ts';
import type { CLIPTextConfig } from './clip-text-model-config.ts';

export interface CLIPTextSize {
  readonly batch: number;
  /** At most the config's maxTokens. */
  readonly tokens: number;
  /**
   * How many of the last layers to leave out, 0 by default. 1 gives the penultimate layer, which
   * web interfaces call "clip skip 2"; SD 2 checkpoints have lost that layer already and need 0.
   */
  readonly clipSkip?: number;
}

/**
 * The text encoder of CLIP (arXiv 2103.00020, section 2.4): a causal transformer with norms before
 * attention and feed-forward.
 *
 * Input: `inputIds` s32 [batch, tokens]. Output: `lastHiddenState` [batch, tokens, width], after the
 * final norm.
 *
 * @throws BookendError `invalid-argument` for too many tokens or a clipSkip that leaves no layer
 */
export function buildCLIPTextModel(
  config: CLIPTextConfig,
  { batch, tokens, clipSkip = 0 }: CLIPTextSize,
): Graph {
  if (tokens > config.maxTokens) {
    throw new BookendError(
      'invalid-argument',
      `CLIPTextModel reads at most ${config.maxTokens} tokens, not ${tokens}; split the text.`,
    );
  }
  if (!Number.isInteger(clipSkip) || clipSkip < 0 || clipSkip >= config.layers) {
    throw new BookendError(
      'invalid-argument',
      `clipSkip = ${clipSkip} does not leave any of the ${config.layers} layers of CLIPTextModel or is not a whole number; choose 0 to ${config.layers - 1}.`,
    );
  }
  const b = new GraphBuilder('CLIPTextModel');
  const ids = b.input('inputIds', 's32', [batch, tokens]);
  b.scope('text_model', () => {
    let x = b.scope('embeddings', () => embeddings(b, config, ids));
    for (let i = 0; i < config.layers - clipSkip; i++) {
      x = b.scope(`encoder.layers.${i}`, () => encoderLayer(b, config, x));
    }
    b.output('lastHiddenState', layerNorm(b, 'final_layer_norm', x, config.normEps));
  });
  return b.finish();
}

/** Token and position embeddings, added. */
function embeddings(b: GraphBuilder, config: CLIPTextConfig, ids: Value): Value {
  const { width, vocabSize, maxTokens } = config;
  const words = embedding(b, 'token_embedding', ids, { entries: vocabSize, width });
  const table = b.parameter('position_embedding.weight', [maxTokens, width]);
  const length = ids.shape[1];
  const positions = length === maxTokens ? table : slice(b, table, { axis: 0, start: 0, length });
  return add(b, words, positions);
}

function encoderLayer(b: GraphBuilder, config: CLIPTextConfig, x: Value): Value {
  const { width, heads, normEps, feedForwardWidth } = config;
  const normed = layerNorm(b, 'layer_norm1', x, normEps);
  const attended = b.scope('self_attn', () => {
    const query = linear(b, 'q_proj', normed, width);
    const key = linear(b, 'k_proj', normed, width);
    const value = linear(b, 'v_proj', normed, width);
    const mixed = attention(b, query, key, value, { heads, causal: true });
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
