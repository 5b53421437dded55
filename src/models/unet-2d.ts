import { BookendError } from '../core/errors.ts';
import type { Graph, Value } from '../ir/graph.ts';
import { GraphBuilder } from '../ir/graph-builder.ts';
import { affine, silu } from '../ir/ops/index.ts';
import { imageAttention } from '../nn/attention.ts';
import { conv2d, groupNorm } from '../nn/layers.ts';
import { resnetBlock2D } from '../nn/resnet-block-2d.ts';
import { timeFeatures } from '../nn/time-embedding.ts';
import { downPath, type UNetLayers, upPath } from './unet-2d-condition.ts';
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

  const skips = downPath(b, config, layers, x);
  x = skips[skips.length - 1];
  if (config.midBlock !== 'none') x = b.scope('mid_block', () => midBlock(b, config, layers, x));
  x = upPath(b, config, layers, x, skips);

  const { normGroups: groups, normEps: eps } = config;
  x = silu(b, groupNorm(b, 'conv_norm_out', x, { groups, eps }));
  b.output('sample', conv2d(b, 'conv_out', x, config.outChannels));
  return b.finish();
}

function conditionedLayers(b: GraphBuilder, config: UNet2DConfig, time: Value): UNetLayers {
  const { normGroups: groups, normEps: eps } = config;
  return {
    resnet: (index, x, level, outputScaleFactor) =>
      resnetBlock2D(b, `resnets.${index}`, x, {
        outChannels: config.blockOutChannels[level],
        groups,
        eps,
        timeFeatures: time,
        outputScaleFactor,
      }),
    attention: (index, x, level) =>
      imageAttention(b, `attentions.${index}`, x, {
        heads: config.attentionHeads[level],
        groups,
        eps,
      }),
  };
}

function midBlock(b: GraphBuilder, config: UNet2DConfig, layers: UNetLayers, input: Value): Value {
  const level = config.blockOutChannels.length - 1;
  const outputScaleFactor = config.midBlockScaleFactor;
  let x = layers.resnet(0, input, level, outputScaleFactor);
  if (config.midBlock === 'resnets-and-attention') {
    x = imageAttention(b, 'attentions.0', x, {
      heads: config.attentionHeads[level],
      groups: config.midAttentionGroups,
      eps: config.normEps,
      outputScaleFactor,
    });
  }
  return layers.resnet(1, x, level, outputScaleFactor);
}

function requireDivisible(config: UNet2DConfig, height: number, width: number): void {
  const factor = 2 ** (config.blockOutChannels.length - 1);
  if (height % factor === 0 && width % factor === 0) return;
  throw new BookendError(
    'invalid-argument',
    `UNet2DModel cannot run at ${width}×${height} pixels; choose a width and height divisible by ${factor}.`,
  );
}
