import { BookendError } from '../core/errors.ts';
import type { Graph, Value } from '../ir/graph.ts';
import { GraphBuilder } from '../ir/graph-builder.ts';
import { add, embedding as gather, reshape, slice } from '../ir/ops/index.ts';
import { embedding, layerNorm, linear } from '../nn/layers.ts';
import { clipEncoderLayer } from './clip-encoder.ts';
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
  const b = new GraphBuilder('CLIPTextModel');
  b.output('lastHiddenState', hiddenStates(b, config, { batch, tokens, clipSkip }));
  return b.finish();
}

/**
 * The text half of CLIP as it meets the image half: the state of one token of each text, which has
 * seen the whole text, through a linear layer without bias.
 *
 * Inputs: `inputIds` s32 [batch, tokens]; `pooledRows` s32 [batch], where the token lies among all
 * batch · tokens. Output: `textEmbeds` [batch, projectionDim], not normalised.
 *
 * @throws BookendError `invalid-argument` for too many tokens
 */
export function buildCLIPTextModelWithProjection(
  config: CLIPTextConfig,
  projectionDim: number,
  { batch, tokens }: { readonly batch: number; readonly tokens: number },
): Graph {
  const b = new GraphBuilder('CLIPTextModelWithProjection');
  const states = hiddenStates(b, config, { batch, tokens, clipSkip: 0 });
  const rows = b.input('pooledRows', 's32', [batch]);
  const pooled = gather(b, rows, reshape(b, states, [batch * tokens, config.width]));
  b.output('textEmbeds', linear(b, 'text_projection', pooled, projectionDim, { bias: false }));
  return b.finish();
}

/** Of all tokens, after the final norm: [batch, tokens, width]. */
function hiddenStates(
  b: GraphBuilder,
  config: CLIPTextConfig,
  { batch, tokens, clipSkip }: Required<CLIPTextSize>,
): Value {
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
  const ids = b.input('inputIds', 's32', [batch, tokens]);
  return b.scope('text_model', () => {
    let x = b.scope('embeddings', () => embeddings(b, config, ids));
    for (let i = 0; i < config.layers - clipSkip; i++) {
      x = b.scope(`encoder.layers.${i}`, () => clipEncoderLayer(b, config, x, { causal: true }));
    }
    return layerNorm(b, 'final_layer_norm', x, config.normEps);
  });
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
