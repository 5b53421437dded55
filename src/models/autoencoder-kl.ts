import { BookendError } from '../core/errors.ts';
import type { Graph, Value } from '../ir/graph.ts';
import { GraphBuilder } from '../ir/graph-builder.ts';
import { silu, slice } from '../ir/ops/index.ts';
import { imageAttention } from '../nn/attention.ts';
import { conv2d, groupNorm } from '../nn/layers.ts';
import { resnetBlock2D } from '../nn/resnet-block-2d.ts';
import { downsample2D, upsample2D } from '../nn/sampling.ts';
import type { AutoencoderKLConfig } from './autoencoder-kl-config.ts';

/** For the encoder the size of the image in pixels, for the decoder that of the latents. */
export interface AutoencoderKLSize {
  readonly batch: number;
  readonly height: number;
  readonly width: number;
}

/** Not configurable in any published autoencoder. */
const NORM_EPS = 1e-6;

/**
 * The encoder of latent diffusion's autoencoder (arXiv 2112.10752, section 3.1): an image to the
 * mean and log-variance of its latents.
 *
 * Input: `sample` f32 [batch, height, width, inChannels], -1 to 1. Outputs: `mean` and
 * `logVariance`, [batch, height / downscale, width / downscale, latentChannels]. Who samples clamps
 * the log-variance to [-30, 20] and multiplies by the scaling factor.
 *
 * @throws BookendError `invalid-argument` when the size is not divisible by the downscale
 */
export function buildAutoencoderKLEncoder(
  config: AutoencoderKLConfig,
  { batch, height, width }: AutoencoderKLSize,
): Graph {
  if (height % config.downscale !== 0 || width % config.downscale !== 0) {
    throw new BookendError(
      'invalid-argument',
      `AutoencoderKL cannot encode ${width}×${height} pixels; choose a width and height divisible by ${config.downscale}.`,
    );
  }
  const b = new GraphBuilder('AutoencoderKLEncoder');
  const sample = b.input('sample', 'f32', [batch, height, width, config.inChannels]);
  const moments = 2 * config.latentChannels;
  let x = b.scope('encoder', () => {
    const lastLevel = config.blockOutChannels.length - 1;
    let hidden = conv2d(b, 'conv_in', sample, config.blockOutChannels[0]);
    config.blockOutChannels.forEach((channels, level) => {
      b.scope(`down_blocks.${level}`, () => {
        for (let i = 0; i < config.layersPerBlock; i++) {
          hidden = resnet(b, config, `resnets.${i}`, hidden, channels);
        }
        if (level < lastLevel) hidden = downsample2D(b, 'downsamplers.0', hidden, 0);
      });
    });
    hidden = midBlock(b, config, hidden);
    return convOut(b, config, hidden, moments);
  });
  if (config.quantConv) x = conv2d(b, 'quant_conv', x, moments, { kernel: 1 });
  const axis = 3;
  const length = config.latentChannels;
  b.output('mean', slice(b, x, { axis, start: 0, length }));
  b.output('logVariance', slice(b, x, { axis, start: length, length }));
  return b.finish();
}

/**
 * The decoder: latents, already divided by the scaling factor, to an image.
 *
 * Input: `latents` f32 [batch, height, width, latentChannels]. Output: `sample` [batch,
 * height × downscale, width × downscale, outChannels], about -1 to 1.
 */
export function buildAutoencoderKLDecoder(
  config: AutoencoderKLConfig,
  { batch, height, width }: AutoencoderKLSize,
): Graph {
  const b = new GraphBuilder('AutoencoderKLDecoder');
  const latents = b.input('latents', 'f32', [batch, height, width, config.latentChannels]);
  const start = config.postQuantConv
    ? conv2d(b, 'post_quant_conv', latents, config.latentChannels, { kernel: 1 })
    : latents;
  const image = b.scope('decoder', () => {
    const channelsUp = [...config.blockOutChannels].reverse();
    let hidden = conv2d(b, 'conv_in', start, channelsUp[0]);
    hidden = midBlock(b, config, hidden);
    channelsUp.forEach((channels, block) => {
      b.scope(`up_blocks.${block}`, () => {
        for (let i = 0; i <= config.layersPerBlock; i++) {
          hidden = resnet(b, config, `resnets.${i}`, hidden, channels);
        }
        if (block === channelsUp.length - 1) return;
        const [, h, w] = hidden.shape;
        hidden = upsample2D(b, 'upsamplers.0', hidden, { height: 2 * h, width: 2 * w });
      });
    });
    return convOut(b, config, hidden, config.outChannels);
  });
  b.output('sample', image);
  return b.finish();
}

function resnet(
  b: GraphBuilder,
  config: AutoencoderKLConfig,
  path: string,
  x: Value,
  outChannels: number,
): Value {
  return resnetBlock2D(b, path, x, { outChannels, groups: config.normGroups, eps: NORM_EPS });
}

/** At the lowest resolution every pixel may look at every other, with a single head. */
function midBlock(b: GraphBuilder, config: AutoencoderKLConfig, x: Value): Value {
  const channels = config.blockOutChannels[config.blockOutChannels.length - 1];
  return b.scope('mid_block', () => {
    let hidden = resnet(b, config, 'resnets.0', x, channels);
    if (config.midBlockAttention) {
      const options = { heads: 1, groups: config.normGroups, eps: NORM_EPS };
      hidden = imageAttention(b, 'attentions.0', hidden, options);
    }
    return resnet(b, config, 'resnets.1', hidden, channels);
  });
}

function convOut(b: GraphBuilder, config: AutoencoderKLConfig, x: Value, channels: number): Value {
  const norm = { groups: config.normGroups, eps: NORM_EPS };
  return conv2d(b, 'conv_out', silu(b, groupNorm(b, 'conv_norm_out', x, norm)), channels);
}
