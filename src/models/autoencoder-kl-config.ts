import { z } from 'zod';
import {
  blockKinds,
  blockTypes,
  extent,
  perLevel,
  positive,
  readConfig,
  requireGroups,
  requireSupported,
} from './config-schema.ts';

/** An image autoencoder; lists have one entry per level, outermost level first. */
export interface AutoencoderKLConfig {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly latentChannels: number;
  readonly blockOutChannels: readonly number[];
  readonly layersPerBlock: number;
  readonly normGroups: number;
  readonly midBlockAttention: boolean;
  /** 1×1 convolutions at the latents, which some later autoencoders leave out. */
  readonly quantConv: boolean;
  readonly postQuantConv: boolean;
  /** Image height and width the model was trained at. */
  readonly sampleSize: number;
  /** The U-Net sees latents × scalingFactor. */
  readonly scalingFactor: number;
  /** Pixels per latent, along each axis. */
  readonly downscale: number;
}

const MODEL = 'AutoencoderKL';

const SUPPORTED = {
  act_fn: ['silu', 'swish'],
  latents_mean: [null],
  latents_std: [null],
  shift_factor: [null],
};

const schema = z.object({
  block_out_channels: z.array(extent).min(1).max(16).default([64]),
  down_block_types: blockTypes.default(['DownEncoderBlock2D']),
  in_channels: extent.default(3),
  latent_channels: extent.default(4),
  layers_per_block: extent.default(1),
  mid_block_add_attention: z.boolean().default(true),
  norm_num_groups: extent.default(32),
  out_channels: extent.default(3),
  sample_size: z.union([extent, z.tuple([extent, extent])]).default(32),
  scaling_factor: positive.default(0.18215),
  up_block_types: blockTypes.default(['UpDecoderBlock2D']),
  use_post_quant_conv: z.boolean().default(true),
  use_quant_conv: z.boolean().default(true),
});

/**
 * Reads the config.json of a Stable Diffusion autoencoder.
 *
 * @throws BookendError `unsupported` for features of other families, `invalid-checkpoint` for
 *   values of the wrong type
 */
export function parseAutoencoderKLConfig(json: unknown): AutoencoderKLConfig {
  const raw = readConfig(MODEL, schema, json);
  requireSupported(MODEL, json, SUPPORTED);
  const channels = raw.block_out_channels;
  for (const [key, known] of [
    ['down_block_types', 'DownEncoderBlock2D'],
    ['up_block_types', 'UpDecoderBlock2D'],
  ] as const) {
    const names = perLevel(MODEL, key, raw[key], channels.length);
    blockKinds(MODEL, key, names, { [known]: true });
  }
  requireGroups(MODEL, raw.norm_num_groups, channels);
  return {
    inChannels: raw.in_channels,
    outChannels: raw.out_channels,
    latentChannels: raw.latent_channels,
    blockOutChannels: channels,
    layersPerBlock: raw.layers_per_block,
    normGroups: raw.norm_num_groups,
    midBlockAttention: raw.mid_block_add_attention,
    quantConv: raw.use_quant_conv,
    postQuantConv: raw.use_post_quant_conv,
    sampleSize: Array.isArray(raw.sample_size) ? raw.sample_size[0] : raw.sample_size,
    scalingFactor: raw.scaling_factor,
    downscale: 2 ** (channels.length - 1),
  };
}
