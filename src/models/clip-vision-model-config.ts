import { z } from 'zod';
import { BookendError } from '../core/errors.ts';
import type { CLIPEncoderConfig } from './clip-encoder.ts';
import { CLIP_ACTIVATIONS } from './clip-text-model-config.ts';
import { extent, positive, readConfig, requireDivides, requireSupported } from './config-schema.ts';

export interface CLIPVisionConfig extends CLIPEncoderConfig {
  /** Height and width of the image in pixels. */
  readonly imageSize: number;
  /** Height and width of a patch in pixels, which becomes one token. */
  readonly patchSize: number;
}

const MODEL = 'CLIPVisionModel';

const SUPPORTED = {
  hidden_act: Object.keys(CLIP_ACTIVATIONS),
  model_type: ['clip_vision_model'],
  num_channels: [3],
};

const schema = z.object({
  hidden_act: z.string().default('quick_gelu'),
  hidden_size: extent.default(768),
  image_size: extent.default(224),
  intermediate_size: extent.default(3072),
  layer_norm_eps: positive.default(1e-5),
  num_attention_heads: extent.default(12),
  num_hidden_layers: extent.default(12),
  patch_size: extent.default(32),
});

/**
 * Reads the `vision_config` of a CLIP model, or the config.json of its vision transformer.
 *
 * @throws BookendError `unsupported` for other transformers, `invalid-checkpoint` for values of
 *   the wrong type or extents that do not fit
 */
export function parseCLIPVisionConfig(json: unknown): CLIPVisionConfig {
  const raw = readConfig(MODEL, schema, json);
  requireSupported(MODEL, json, SUPPORTED);
  const heads = raw.num_attention_heads;
  requireDivides(MODEL, `${heads} attention heads, which do`, heads, raw.hidden_size);
  if (raw.patch_size > raw.image_size) {
    throw new BookendError(
      'invalid-checkpoint',
      `${MODEL} cuts images of ${raw.image_size} pixels into patches of ${raw.patch_size}; use the config.json that belongs to the weights.`,
    );
  }
  return {
    width: raw.hidden_size,
    feedForwardWidth: raw.intermediate_size,
    layers: raw.num_hidden_layers,
    heads,
    activation: CLIP_ACTIVATIONS[raw.hidden_act as keyof typeof CLIP_ACTIVATIONS],
    normEps: raw.layer_norm_eps,
    imageSize: raw.image_size,
    patchSize: raw.patch_size,
  };
}
