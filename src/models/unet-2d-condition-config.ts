import { z } from 'zod';
import {
  blockKinds,
  blockTypes,
  extent,
  oneOrPerLevel,
  perLevel,
  positive,
  readConfig,
  requireDivides,
  requireGroups,
  requireSupported,
  unsupported,
} from './config-schema.ts';

/** A conditional U-Net, resolved: every list has one entry per level, outermost level first. */
export interface UNet2DConditionConfig {
  readonly inChannels: number;
  readonly outChannels: number;
  /** Latent height and width the model was trained at, when the config says. */
  readonly sampleSize: { readonly height: number; readonly width: number } | undefined;
  readonly centerInputSample: boolean;
  readonly flipSinToCos: boolean;
  readonly freqShift: number;
  readonly timeEmbeddingWidth: number;
  /** Width of the guidance embedding of a distilled model; undefined in all others. */
  readonly timeConditionWidth: number | undefined;
  readonly blockOutChannels: readonly number[];
  readonly layersPerBlock: readonly number[];
  readonly downBlockAttention: readonly boolean[];
  /** By level like the rest, although up blocks are numbered from the innermost level. */
  readonly upBlockAttention: readonly boolean[];
  readonly midBlock: boolean;
  readonly attentionHeads: readonly number[];
  readonly transformerLayers: readonly number[];
  readonly crossAttentionWidth: number;
  readonly linearProjection: boolean;
  /** Attention scores in float32, which Bookend's attention gives at every precision. */
  readonly upcastAttention: boolean;
  readonly downsamplePadding: 0 | 1;
  readonly midBlockScaleFactor: number;
  readonly normGroups: number;
  readonly normEps: number;
  readonly convInKernel: number;
  readonly convOutKernel: number;
}

const MODEL = 'UNet2DConditionModel';

/** Features that change the network; Stable Diffusion 1 and 2 use none of them. */
const SUPPORTED = {
  act_fn: ['silu', 'swish'],
  addition_embed_type: [null],
  attention_type: ['default'],
  class_embed_type: [null],
  cross_attention_norm: [null],
  dual_cross_attention: [false],
  encoder_hid_dim: [null],
  encoder_hid_dim_type: [null],
  mid_block_only_cross_attention: [null, false],
  mid_block_type: ['UNetMidBlock2DCrossAttn', null],
  num_attention_heads: [null],
  num_class_embeds: [null],
  resnet_time_scale_shift: ['default'],
  reverse_transformer_layers_per_block: [null],
  time_embedding_act_fn: [null],
  time_embedding_type: ['positional'],
  timestep_post_act: [null],
};

const oddKernel = z.literal([1, 3, 5, 7]);

const schema = z.object({
  attention_head_dim: oneOrPerLevel.default(8),
  block_out_channels: z.array(extent).min(1).max(16).default([320, 640, 1280, 1280]),
  center_input_sample: z.boolean().default(false),
  conv_in_kernel: oddKernel.default(3),
  conv_out_kernel: oddKernel.default(3),
  cross_attention_dim: oneOrPerLevel.default(1280),
  down_block_types: blockTypes.default([
    'CrossAttnDownBlock2D',
    'CrossAttnDownBlock2D',
    'CrossAttnDownBlock2D',
    'DownBlock2D',
  ]),
  downsample_padding: z.literal([0, 1]).default(1),
  flip_sin_to_cos: z.boolean().default(true),
  freq_shift: z.number().min(0).max(1).default(0),
  in_channels: extent.default(4),
  layers_per_block: oneOrPerLevel.default(2),
  mid_block_scale_factor: positive.default(1),
  mid_block_type: z.string().nullable().default('UNetMidBlock2DCrossAttn'),
  norm_eps: positive.default(1e-5),
  norm_num_groups: extent.default(32),
  only_cross_attention: z.union([z.boolean(), z.array(z.boolean())]).default(false),
  out_channels: extent.default(4),
  sample_size: z.union([extent, z.tuple([extent, extent])]).nullish(),
  time_cond_proj_dim: extent.nullish(),
  time_embedding_dim: extent.nullish(),
  transformer_layers_per_block: oneOrPerLevel.default(1),
  up_block_types: blockTypes.default([
    'UpBlock2D',
    'CrossAttnUpBlock2D',
    'CrossAttnUpBlock2D',
    'CrossAttnUpBlock2D',
  ]),
  upcast_attention: z.boolean().default(false),
  use_linear_projection: z.boolean().default(false),
});

/**
 * Reads the config.json of a U-Net of Stable Diffusion 1 or 2 or a variant of theirs.
 *
 * @throws BookendError `unsupported` for features of other families, `invalid-checkpoint` for
 *   values of the wrong type
 */
export function parseUNet2DConditionConfig(json: unknown): UNet2DConditionConfig {
  const raw = readConfig(MODEL, schema, json);
  requireSupported(MODEL, json, SUPPORTED);
  const channels = raw.block_out_channels;
  const byLevel = <T>(key: string, value: T | readonly T[]) =>
    perLevel(MODEL, key, value, channels.length);
  if (byLevel('only_cross_attention', raw.only_cross_attention).includes(true)) {
    throw unsupported(MODEL, 'only_cross_attention', raw.only_cross_attention, [false]);
  }
  const contexts = byLevel('cross_attention_dim', raw.cross_attention_dim);
  if (new Set(contexts).size > 1) {
    throw unsupported(MODEL, 'cross_attention_dim', contexts, [contexts[0]]);
  }
  requireGroups(MODEL, raw.norm_num_groups, channels);
  // Published configs store the number of heads under the name attention_head_dim.
  const attentionHeads = byLevel('attention_head_dim', raw.attention_head_dim);
  attentionHeads.forEach((heads, level) => {
    requireDivides(MODEL, `${heads} attention heads, which do`, heads, channels[level]);
  });
  const size = raw.sample_size;
  const [height, width] = Array.isArray(size) ? size : [size, size];
  return {
    inChannels: raw.in_channels,
    outChannels: raw.out_channels,
    sampleSize: height && width ? { height, width } : undefined,
    centerInputSample: raw.center_input_sample,
    flipSinToCos: raw.flip_sin_to_cos,
    freqShift: raw.freq_shift,
    timeEmbeddingWidth: raw.time_embedding_dim ?? 4 * channels[0],
    timeConditionWidth: raw.time_cond_proj_dim ?? undefined,
    blockOutChannels: channels,
    layersPerBlock: byLevel('layers_per_block', raw.layers_per_block),
    downBlockAttention: blockKinds(
      MODEL,
      'down_block_types',
      byLevel('down_block_types', raw.down_block_types),
      { CrossAttnDownBlock2D: true, DownBlock2D: false },
    ),
    upBlockAttention: blockKinds(
      MODEL,
      'up_block_types',
      byLevel('up_block_types', raw.up_block_types),
      { CrossAttnUpBlock2D: true, UpBlock2D: false },
    ).reverse(),
    midBlock: raw.mid_block_type !== null,
    attentionHeads,
    transformerLayers: byLevel('transformer_layers_per_block', raw.transformer_layers_per_block),
    crossAttentionWidth: contexts[0],
    linearProjection: raw.use_linear_projection,
    upcastAttention: raw.upcast_attention,
    downsamplePadding: raw.downsample_padding,
    midBlockScaleFactor: raw.mid_block_scale_factor,
    normGroups: raw.norm_num_groups,
    normEps: raw.norm_eps,
    convInKernel: raw.conv_in_kernel,
    convOutKernel: raw.conv_out_kernel,
  };
}
