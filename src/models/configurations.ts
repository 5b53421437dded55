import { type AutoencoderKLConfig, parseAutoencoderKLConfig } from './autoencoder-kl-config.ts';
import { type CLIPTextConfig, parseCLIPTextConfig } from './clip-text-model-config.ts';
import {
  parseUNet2DConditionConfig,
  type UNet2DConditionConfig,
} from './unet-2d-condition-config.ts';

/** Published architectures at full size, for benchmarks and checks with random weights. */
export const BUILT_IN_CONFIGURATIONS = ['sd-1.4', 'sd-1.5', 'sd-2.1', 'sd-2.1-base'] as const;

export type BuiltInConfigurationName = (typeof BUILT_IN_CONFIGURATIONS)[number];

export interface BuiltInConfiguration {
  readonly unet: UNet2DConditionConfig;
  readonly vae: AutoencoderKLConfig;
  readonly textEncoder: CLIPTextConfig;
}

/*
 * The values in the published config.json files that differ from the libraries' defaults or that
 * differ between versions. SD 1.4 and 1.5 are the same networks with different weights.
 */

const UNET_1 = {
  attention_head_dim: 8,
  block_out_channels: [320, 640, 1280, 1280],
  cross_attention_dim: 768,
  layers_per_block: 2,
  sample_size: 64,
};

const UNET_2 = {
  ...UNET_1,
  attention_head_dim: [5, 10, 20, 20],
  cross_attention_dim: 1024,
  use_linear_projection: true,
};

const VAE = {
  block_out_channels: [128, 256, 512, 512],
  down_block_types: Array(4).fill('DownEncoderBlock2D'),
  layers_per_block: 2,
  sample_size: 512,
  up_block_types: Array(4).fill('UpDecoderBlock2D'),
};

const TEXT_ENCODER_1 = {
  hidden_act: 'quick_gelu',
  hidden_size: 768,
  intermediate_size: 3072,
  num_attention_heads: 12,
  num_hidden_layers: 12,
};

/** OpenCLIP ViT-H without its last layer, which Stable Diffusion 2 does not use. */
const TEXT_ENCODER_2 = {
  hidden_act: 'gelu',
  hidden_size: 1024,
  intermediate_size: 4096,
  num_attention_heads: 16,
  num_hidden_layers: 23,
};

const STABLE_DIFFUSION_1 = { unet: UNET_1, vae: VAE, textEncoder: TEXT_ENCODER_1 };

const PUBLISHED = {
  'sd-1.4': STABLE_DIFFUSION_1,
  'sd-1.5': STABLE_DIFFUSION_1,
  'sd-2.1': {
    unet: { ...UNET_2, sample_size: 96, upcast_attention: true },
    vae: { ...VAE, sample_size: 768 },
    textEncoder: TEXT_ENCODER_2,
  },
  'sd-2.1-base': { unet: UNET_2, vae: VAE, textEncoder: TEXT_ENCODER_2 },
};

/** The config.json of each network, as far as it differs from the defaults of diffusers. */
export function publishedConfiguration(name: BuiltInConfigurationName) {
  return PUBLISHED[name];
}

export function builtInConfiguration(name: BuiltInConfigurationName): BuiltInConfiguration {
  const { unet, vae, textEncoder } = PUBLISHED[name];
  return {
    unet: parseUNet2DConditionConfig(unet),
    vae: parseAutoencoderKLConfig(vae),
    textEncoder: parseCLIPTextConfig(textEncoder),
  };
}
