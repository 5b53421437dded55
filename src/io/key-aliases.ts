import type { TensorView } from './tensor-source.ts';

/** The parts of a Stable Diffusion checkpoint that hold weights. */
export type WeightedComponent = 'unet' | 'vae' | 'text_encoder';

/** Rewrites a key that matches; `null` drops a tensor that is not a weight. */
type Alias = readonly [pattern: RegExp, replacement: string | null];

/** Attention between pixels, as diffusers named it before 0.18. */
const ATTENTION_BEFORE_0_18: readonly Alias[] = [
  [/(\.attentions\.\d+)\.query\./, '$1.to_q.'],
  [/(\.attentions\.\d+)\.key\./, '$1.to_k.'],
  [/(\.attentions\.\d+)\.value\./, '$1.to_v.'],
  [/(\.attentions\.\d+)\.proj_attn\./, '$1.to_out.0.'],
];

/**
 * Names that libraries have given the same tensor over time, with the one Bookend's models use: the
 * state-dict key of diffusers 0.18 and later, and of transformers' CLIPTextModel with its prefix.
 */
const ALIASES: Record<WeightedComponent, readonly Alias[]> = {
  // Unconditional U-Nets published before then; the conditional ones never had these names.
  unet: ATTENTION_BEFORE_0_18,
  vae: ATTENTION_BEFORE_0_18,
  text_encoder: [
    [/^(?:text_model\.)?embeddings\.position_ids$/, null],
    [/^(?=(?:embeddings|encoder|final_layer_norm)\.)/, 'text_model.'],
  ],
};

/** The key under which a model looks for the tensor stored as `key`; null where it is no weight. */
export function canonicalKey(component: WeightedComponent, key: string): string | null {
  let renamed = key;
  for (const [pattern, replacement] of ALIASES[component]) {
    if (!pattern.test(renamed)) continue;
    if (replacement === null) return null;
    renamed = renamed.replace(pattern, replacement);
  }
  return renamed;
}

/** Views under their canonical keys. */
export function withCanonicalKeys(
  component: WeightedComponent,
  views: ReadonlyMap<string, TensorView>,
): Map<string, TensorView> {
  const renamed = new Map<string, TensorView>();
  for (const [name, view] of views) {
    const key = canonicalKey(component, name);
    if (key !== null) renamed.set(key, view);
  }
  return renamed;
}
