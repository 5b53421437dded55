/**
 * Where the tensors of a CompVis/Stability "latent diffusion" checkpoint go in the diffusers layout.
 * The correspondence is that of the module trees in both code bases: `openaimodel.py` numbers blocks
 * and layers in one list, diffusers by resolution level.
 */

const RESNET_PARTS: Record<string, string> = {
  'in_layers.0': 'norm1',
  'in_layers.2': 'conv1',
  'emb_layers.1': 'time_emb_proj',
  'out_layers.0': 'norm2',
  'out_layers.3': 'conv2',
  skip_connection: 'conv_shortcut',
};

const UNET_TOP: Record<string, string> = {
  'time_embed.0': 'time_embedding.linear_1',
  'time_embed.2': 'time_embedding.linear_2',
  'input_blocks.0.0': 'conv_in',
  'out.0': 'conv_norm_out',
  'out.2': 'conv_out',
};

const MIDDLE: Record<string, string> = {
  0: 'mid_block.resnets.0',
  1: 'mid_block.attentions.0',
  2: 'mid_block.resnets.1',
};

/**
 * @param key without `model.diffusion_model.`
 * @param layersPerBlock residual blocks per resolution level on the way down
 * @returns the diffusers key, or undefined for a tensor that such a U-Net does not have
 */
export function unetKey(key: string, layersPerBlock: number): string | undefined {
  const [, module, parameter] = /^(.*)\.(weight|bias)$/.exec(key) ?? [];
  if (module === undefined) return undefined;
  if (Object.hasOwn(UNET_TOP, module)) return `${UNET_TOP[module]}.${parameter}`;
  const renamed = middleModule(module) ?? sideModule(module, layersPerBlock);
  return renamed && `${renamed}.${parameter}`;
}

function middleModule(module: string): string | undefined {
  const [, index, rest] = /^middle_block\.([012])\.(.+)$/.exec(module) ?? [];
  if (rest === undefined) return undefined;
  return `${MIDDLE[index]}.${RESNET_PARTS[rest] ?? rest}`;
}

function sideModule(module: string, layersPerBlock: number): string | undefined {
  const [, side, number, slot, rest] =
    /^(input|output)_blocks\.(\d+)\.(\d)\.(.+)$/.exec(module) ?? [];
  if (rest === undefined) return undefined;
  const down = side === 'input';
  // conv_in is number 0 of the input blocks; a level ends with its downsampler, which has a number
  // of its own, while upsamplers share the number of the level's last residual block.
  const index = Number(number) - (down ? 1 : 0);
  const level = `${down ? 'down' : 'up'}_blocks.${Math.floor(index / (layersPerBlock + 1))}`;
  const layer = index % (layersPerBlock + 1);
  if (rest === 'op') return `${level}.downsamplers.0.conv`;
  if (rest === 'conv') return `${level}.upsamplers.0.conv`;
  if (slot === '0') return `${level}.resnets.${layer}.${RESNET_PARTS[rest] ?? rest}`;
  return `${level}.attentions.${layer}.${rest}`;
}

const VAE_ATTENTION: Record<string, string> = {
  norm: 'group_norm',
  q: 'to_q',
  k: 'to_k',
  v: 'to_v',
  proj_out: 'to_out.0',
};

/**
 * @param key without `first_stage_model.`
 * @param levels resolution levels; the decoder's are numbered from the other end
 */
export function vaeKey(key: string, levels: number): string {
  return key
    .replace(/\.norm_out\./, '.conv_norm_out.')
    .replace(/\.nin_shortcut\./, '.conv_shortcut.')
    .replace(/\.mid\.block_([12])\./, (_, i) => `.mid_block.resnets.${Number(i) - 1}.`)
    .replace(
      /\.mid\.attn_1\.(norm|q|k|v|proj_out)\./,
      (_, part) => `.mid_block.attentions.0.${VAE_ATTENTION[part]}.`,
    )
    .replace(/\.down\.(\d+)\.block\./, '.down_blocks.$1.resnets.')
    .replace(/\.down\.(\d+)\.downsample\./, '.down_blocks.$1.downsamplers.0.')
    .replace(/\.up\.(\d+)\.block\./, (_, i) => `.up_blocks.${levels - 1 - Number(i)}.resnets.`)
    .replace(
      /\.up\.(\d+)\.upsample\./,
      (_, i) => `.up_blocks.${levels - 1 - Number(i)}.upsamplers.0.`,
    );
}

const OPEN_CLIP_TOP: Record<string, string> = {
  positional_embedding: 'text_model.embeddings.position_embedding.weight',
  'token_embedding.weight': 'text_model.embeddings.token_embedding.weight',
  'ln_final.weight': 'text_model.final_layer_norm.weight',
  'ln_final.bias': 'text_model.final_layer_norm.bias',
};

const OPEN_CLIP_PARTS: Record<string, string> = {
  ln_1: 'layer_norm1',
  ln_2: 'layer_norm2',
  'mlp.c_fc': 'mlp.fc1',
  'mlp.c_proj': 'mlp.fc2',
  'attn.out_proj': 'self_attn.out_proj',
};

/** Layers that Stable Diffusion 2.x uses of OpenCLIP's 24: its condition is the last but one. */
export const OPEN_CLIP_LAYERS = 23;

/**
 * @param key without `cond_stage_model.model.`
 * @returns one key, or three for a joint projection whose rows are those of q, k and v; none for
 * what Stable Diffusion does not use (the last layer, the projection, logit_scale, the mask)
 */
export function openClipKeys(key: string): string[] {
  if (Object.hasOwn(OPEN_CLIP_TOP, key)) return [OPEN_CLIP_TOP[key]];
  const [, layer, rest] = /^transformer\.resblocks\.(\d+)\.(.+)$/.exec(key) ?? [];
  if (rest === undefined || Number(layer) >= OPEN_CLIP_LAYERS) return [];
  const prefix = `text_model.encoder.layers.${layer}`;
  const [, joint] = /^attn\.in_proj_(weight|bias)$/.exec(rest) ?? [];
  if (joint) return ['q', 'k', 'v'].map((part) => `${prefix}.self_attn.${part}_proj.${joint}`);
  const cut = rest.lastIndexOf('.');
  const part = OPEN_CLIP_PARTS[rest.slice(0, cut)];
  return part === undefined ? [] : [`${prefix}.${part}${rest.slice(cut)}`];
}
