import { z } from 'zod';
import {
  blockKinds,
  blockTypes,
  extent,
  perLevel,
  positive,
  readConfig,
  requireDivides,
  requireGroups,
  requireSupported,
} from './config-schema.ts';

/** An unconditional U-Net, resolved: every list has one entry per level, outermost level first. */
export interface UNet2DConfig {
  readonly inChannels: number;
  readonly outChannels: number;
  /** Height and width the model was trained at, when the config says. */
  readonly sampleSize: { readonly height: number; readonly width: number } | undefined;
  readonly centerInputSample: boolean;
  readonly flipSinToCos: boolean;
  readonly freqShift: number;
  readonly timeEmbeddingWidth: number;
  readonly blockOutChannels: readonly number[];
  readonly layersPerBlock: readonly number[];
  readonly downBlockAttention: readonly boolean[];
  /** By level like the rest, although up blocks are numbered from the innermost level. */
  readonly upBlockAttention: readonly boolean[];
  readonly midBlock: 'none' | 'resnets' | 'resnets-and-attention';
  /** Heads of the attention at each level; the middle block has those of the last. */
  readonly attentionHeads: readonly number[];
  readonly downsamplePadding: 0 | 1;
  readonly midBlockScaleFactor: number;
  readonly normGroups: number;
  /** Groups of the norm inside the middle block's attention. */
  readonly midAttentionGroups: number;
  readonly normEps: number;
}

const MODEL = 'UNet2DModel';

const SUPPORTED = {
  act_fn: ['silu', 'swish'],
  class_embed_type: [null],
  downsample_type: ['conv'],
  mid_block_type: ['UNetMidBlock2D', null],
  num_class_embeds: [null],
  resnet_time_scale_shift: ['default'],
  time_embedding_type: ['positional'],
  upsample_type: ['conv'],
};

const schema = z.object({
  add_attention: z.boolean().default(true),
  attention_head_dim: extent.nullable().default(8),
  attn_norm_num_groups: extent.nullish(),
  block_out_channels: z.array(extent).min(1).max(16).default([224, 448, 672, 896]),
  center_input_sample: z.boolean().default(false),
  down_block_types: blockTypes.default([
    'DownBlock2D',
    'AttnDownBlock2D',
    'AttnDownBlock2D',
    'AttnDownBlock2D',
  ]),
  downsample_padding: z.literal([0, 1]).default(1),
  flip_sin_to_cos: z.boolean().default(true),
  freq_shift: z.number().min(0).max(1).default(0),
  in_channels: extent.default(3),
  layers_per_block: extent.default(2),
  mid_block_scale_factor: positive.default(1),
  mid_block_type: z.string().nullable().default('UNetMidBlock2D'),
  norm_eps: positive.default(1e-5),
  norm_num_groups: extent.default(32),
  out_channels: extent.default(3),
  sample_size: z.union([extent, z.tuple([extent, extent])]).nullish(),
  time_embedding_dim: extent.nullish(),
  up_block_types: blockTypes.default([
    'AttnUpBlock2D',
    'AttnUpBlock2D',
    'AttnUpBlock2D',
    'UpBlock2D',
  ]),
});

/**
 * Reads the config.json of a DDPM or DDIM U-Net.
 *
 * @throws BookendError `unsupported` for features of other families, `invalid-checkpoint` for
 *   values of the wrong type
 */
export function parseUNet2DConfig(json: unknown): UNet2DConfig {
  const raw = readConfig(MODEL, schema, json);
  requireSupported(MODEL, json, SUPPORTED);
  const channels = raw.block_out_channels;
  const kinds = (key: 'down_block_types' | 'up_block_types', known: Record<string, boolean>) =>
    blockKinds(MODEL, key, perLevel(MODEL, key, raw[key], channels.length), known);
  requireGroups(MODEL, raw.norm_num_groups, channels);
  requireGroups(MODEL, raw.attn_norm_num_groups ?? raw.norm_num_groups, channels.slice(-1));
  const size = raw.sample_size;
  const [height, width] = Array.isArray(size) ? size : [size, size];
  const withAttention = raw.add_attention ? 'resnets-and-attention' : 'resnets';
  return {
    inChannels: raw.in_channels,
    outChannels: raw.out_channels,
    sampleSize: height && width ? { height, width } : undefined,
    centerInputSample: raw.center_input_sample,
    flipSinToCos: raw.flip_sin_to_cos,
    freqShift: raw.freq_shift,
    timeEmbeddingWidth: raw.time_embedding_dim ?? 4 * channels[0],
    blockOutChannels: channels,
    layersPerBlock: channels.map(() => raw.layers_per_block),
    downBlockAttention: kinds('down_block_types', { AttnDownBlock2D: true, DownBlock2D: false }),
    upBlockAttention: kinds('up_block_types', { AttnUpBlock2D: true, UpBlock2D: false }).reverse(),
    midBlock: raw.mid_block_type === null ? 'none' : withAttention,
    attentionHeads: channels.map((width) => headCount(width, raw.attention_head_dim)),
    downsamplePadding: raw.downsample_padding,
    midBlockScaleFactor: raw.mid_block_scale_factor,
    normGroups: raw.norm_num_groups,
    midAttentionGroups: raw.attn_norm_num_groups ?? raw.norm_num_groups,
    normEps: raw.norm_eps,
  };
}

/** Unlike in the conditional U-Net, attention_head_dim is what it says; null means one head. */
function headCount(channels: number, headWidth: number | null): number {
  if (headWidth === null) return 1;
  requireDivides(MODEL, `attention_head_dim = ${headWidth}, which does`, headWidth, channels);
  return channels / headWidth;
}
