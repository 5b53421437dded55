import { BookendError } from '../core/errors.ts';
import type { Graph, Value } from '../ir/graph.ts';
import { GraphBuilder } from '../ir/graph-builder.ts';
import { affine, concat, silu } from '../ir/ops/index.ts';
import { imageAttention } from '../nn/attention.ts';
import { conv2d, groupNorm } from '../nn/layers.ts';
import { resnetBlock2D } from '../nn/resnet-block-2d.ts';
import { downsample2D, upsample2D } from '../nn/sampling.ts';
import { timeFeatures } from '../nn/time-embedding.ts';
import type { UNet2DConfig } from './unet-2d-config.ts';

/** The sizes that are fixed when the graph is built, in pixels. */
export interface UNet2DSize {
  readonly batch: number;
  readonly height: number;
  readonly width: number;
}

/**
 * The unconditional noise predictor of DDPM (arXiv 2006.11239): the U-Net of unet-2d-condition.ts
 * with plain self-attention in place of its transformers.
 *
 * Inputs: `sample` f32 [batch, height, width, inChannels], `timestep` f32 [batch]. Output: `sample`,
 * [batch, height, width, outChannels].
 *
 * @throws BookendError `invalid-argument` unless every level but the last halves exactly
 */
export function buildUNet2DModel(
  config: UNet2DConfig,
  { batch, height, width }: UNet2DSize,
): Graph {
  requireDivisible(config, height, width);
  const b = new GraphBuilder('UNet2DModel');
  const sample = b.input('sample', 'f32', [batch, height, width, config.inChannels]);
  const timestep = b.input('timestep', 'f32', [batch]);
  const time = timeFeatures(b, timestep, {
    sinusoids: config.blockOutChannels[0],
    width: config.timeEmbeddingWidth,
    flipSinToCos: config.flipSinToCos,
    freqShift: config.freqShift,
  });
  const layers = conditionedLayers(b, config, time);

  const centered = config.centerInputSample ? affine(b, sample, { scale: 2, offset: -1 }) : sample;
  let x = conv2d(b, 'conv_in', centered, config.blockOutChannels[0]);

  const lastLevel = config.blockOutChannels.length - 1;
  const skips = [x];
  for (let level = 0; level <= lastLevel; level++) {
    b.scope(`down_blocks.${level}`, () => {
      for (let i = 0; i < config.layersPerBlock; i++) {
        x = layers.resnet(i, x, level);
        if (config.downBlockAttention[level]) x = layers.attention(i, x, level);
        skips.push(x);
      }
      if (level < lastLevel) {
        x = downsample2D(b, 'downsamplers.0', x, config.downsamplePadding);
        skips.push(x);
      }
    });
  }

  if (config.midBlock !== 'none') {
    b.scope('mid_block', () => {
      const outputScaleFactor = config.midBlockScaleFactor;
      x = layers.resnet(0, x, lastLevel, outputScaleFactor);
      if (config.midBlock === 'resnets-and-attention') {
        const groups = config.midAttentionGroups;
        x = layers.attention(0, x, lastLevel, { groups, outputScaleFactor });
      }
      x = layers.resnet(1, x, lastLevel, outputScaleFactor);
    });
  }

  for (let level = lastLevel; level >= 0; level--) {
    b.scope(`up_blocks.${lastLevel - level}`, () => {
      for (let i = 0; i <= config.layersPerBlock; i++) {
        x = layers.resnet(i, concat(b, x, skips.pop()!), level);
        if (config.upBlockAttention[level]) x = layers.attention(i, x, level);
      }
      if (level > 0) {
        const [, h, w] = x.shape;
        x = upsample2D(b, 'upsamplers.0', x, { height: 2 * h, width: 2 * w });
      }
    });
  }

  const { normGroups: groups, normEps: eps } = config;
  x = silu(b, groupNorm(b, 'conv_norm_out', x, { groups, eps }));
  b.output('sample', conv2d(b, 'conv_out', x, config.outChannels));
  return b.finish();
}

function conditionedLayers(b: GraphBuilder, config: UNet2DConfig, time: Value) {
  const { normGroups: groups, normEps: eps } = config;
  return {
    resnet: (index: number, x: Value, level: number, outputScaleFactor?: number): Value =>
      resnetBlock2D(b, `resnets.${index}`, x, {
        outChannels: config.blockOutChannels[level],
        groups,
        eps,
        timeFeatures: time,
        outputScaleFactor,
      }),
    attention: (
      index: number,
      x: Value,
      level: number,
      options: { readonly groups?: number; readonly outputScaleFactor?: number } = {},
    ): Value =>
      imageAttention(b, `attentions.${index}`, x, {
        heads: config.attentionHeads[level],
        groups,
        eps,
        ...options,
      }),
  };
}

function requireDivisible(config: UNet2DConfig, height: number, width: number): void {
  const factor = 2 ** (config.blockOutChannels.length - 1);
  if (height % factor === 0 && width % factor === 0) return;
  throw new BookendError(
    'invalid-argument',
    `UNet2DModel cannot run at ${width}×${height} pixels; choose a width and height divisible by ${factor}.`,
  );
}
