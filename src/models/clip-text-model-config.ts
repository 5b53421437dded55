import { z } from 'zod';
import type { CLIPEncoderConfig } from './clip-encoder.ts';
import { extent, positive, readConfig, requireDivides, requireSupported } from './config-schema.ts';

/** SD 1 has the quick GELU, SD 2 the exact one. */
export interface CLIPTextConfig extends CLIPEncoderConfig {
  readonly vocabSize: number;
  /** The longest text, in tokens. */
  readonly maxTokens: number;
}

const MODEL = 'CLIPTextModel';

/** Names of config.json, and of Bookend's ops. */
export const CLIP_ACTIVATIONS = { quick_gelu: 'quickGelu', gelu: 'gelu' } as const;

const SUPPORTED = {
  hidden_act: Object.keys(CLIP_ACTIVATIONS),
  model_type: ['clip_text_model'],
};

const schema = z.object({
  hidden_act: z.string().default('quick_gelu'),
  hidden_size: extent.default(512),
  intermediate_size: extent.default(2048),
  layer_norm_eps: positive.default(1e-5),
  max_position_embeddings: extent.default(77),
  num_attention_heads: extent.default(8),
  num_hidden_layers: extent.default(12),
  vocab_size: z.int().min(1).max(1_000_000).default(49408),
});

/**
 * Reads the config.json of a CLIP text encoder.
 *
 * @throws BookendError `unsupported` for other text encoders, `invalid-checkpoint` for values of
 *   the wrong type
 */
export function parseCLIPTextConfig(json: unknown): CLIPTextConfig {
  const raw = readConfig(MODEL, schema, json);
  requireSupported(MODEL, json, SUPPORTED);
  const heads = raw.num_attention_heads;
  requireDivides(MODEL, `${heads} attention heads, which do`, heads, raw.hidden_size);
  return {
    vocabSize: raw.vocab_size,
    width: raw.hidden_size,
    feedForwardWidth: raw.intermediate_size,
    layers: raw.num_hidden_layers,
    heads,
    maxTokens: raw.max_position_embeddings,
    activation: CLIP_ACTIVATIONS[raw.hidden_act as keyof typeof CLIP_ACTIVATIONS],
    normEps: raw.layer_norm_eps,
  };
}
