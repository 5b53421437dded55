import { z } from 'zod';
import { type CLIPTextConfig, parseCLIPTextConfig } from './clip-text-model-config.ts';
import { type CLIPVisionConfig, parseCLIPVisionConfig } from './clip-vision-model-config.ts';
import { extent, readConfig, requireSupported } from './config-schema.ts';

/** Both halves of CLIP. */
export interface CLIPModelConfig {
  readonly text: CLIPTextConfig;
  readonly vision: CLIPVisionConfig;
  /** Length of the vectors that texts and images are compared by. */
  readonly projectionDim: number;
  /** The first token of this number pools a text; undefined: the token of the largest number. */
  readonly eosTokenId: number | undefined;
}

const MODEL = 'CLIPModel';

/** What configurations said before transformers 4.31 corrected them, and many still say. */
const UNRELIABLE_EOS = 2;

const half = z.record(z.string(), z.unknown()).nullish();

const schema = z.object({
  projection_dim: extent.default(512),
  text_config: half,
  text_config_dict: half,
  vision_config: half,
  vision_config_dict: half,
});

const eosSchema = z.object({ eos_token_id: z.int().min(0).default(49407) });

/**
 * Reads the config.json of a CLIPModel, such as openai/clip-vit-base-patch32. Of the two places that
 * older files describe a half in, the one ending in `_dict` counts, as in transformers.
 *
 * @throws BookendError `unsupported` for other models, `invalid-checkpoint` for values of the wrong
 *   type
 */
export function parseCLIPModelConfig(json: unknown): CLIPModelConfig {
  const raw = readConfig(MODEL, schema, json);
  requireSupported(MODEL, json, { model_type: ['clip'] });
  const text = raw.text_config_dict ?? raw.text_config ?? {};
  const eos = readConfig(MODEL, eosSchema, text).eos_token_id;
  return {
    text: parseCLIPTextConfig(text),
    vision: parseCLIPVisionConfig(raw.vision_config_dict ?? raw.vision_config ?? {}),
    projectionDim: raw.projection_dim,
    eosTokenId: eos === UNRELIABLE_EOS ? undefined : eos,
  };
}
