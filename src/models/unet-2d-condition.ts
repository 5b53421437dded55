import type { Graph, Value } from '../ir/graph.ts';
import { GraphBuilder } from '../ir/graph-builder.ts';
import { affine, concat, silu } from '../ir/ops/index.ts';
import { conv2d, groupNorm } from '../nn/layers.ts';
import { resnetBlock2D } from '../nn/resnet-block-2d.ts';
import { downsample2D, upsample2D } from '../nn/sampling.ts';
import { timeFeatures } from '../nn/time-embedding.ts';
import { transformer2D } from '../nn/transformer-2d.ts';
import type { UNet2DConditionConfig } from './unet-2d-condition-config.ts';

/** The sizes that are fixed when the graph is built; height and width are those of the latents. */
export interface UNet2DConditionSize {
  readonly batch: number;
  readonly height: number;
  readonly width: number;
  /** Length of the text, 77 for one CLIP chunk. */
  readonly tokens: number;
}

/**
 * The noise predictor of Stable Diffusion (arXiv 2112.10752): a U-Net whose levels halve height and
 * width, with skip connections from each step of the way down to its mirror image on the way up.
 *
 * Inputs: `sample` f32 [batch, height, width, inChannels], `timestep` f32 [batch],
 * `encoderHiddenStates` f32 [batch, tokens, crossAttentionWidth] and, for distilled models,
 * `timestepCondition` f32 [batch, timeConditionWidth]. Output: `sample`, [batch, height, width,
 * outChannels]. Any height and width work.
 *
 * What depends on the timestep alone lies in scopes ending in `time_proj`, `time_embedding.*` or
 * `time_emb_proj`; what depends on the text alone in those ending in `attn2.to_k` or `attn2.to_v`.
 */
export function buildUNet2DConditionModel(
  config: UNet2DConditionConfig,
  { batch, height, width, tokens }: UNet2DConditionSize,
): Graph {
  const b = new GraphBuilder('UNet2DConditionModel');
  const sample = b.input('sample', 'f32', [batch, height, width, config.inChannels]);
  const timestep = b.input('timestep', 'f32', [batch]);
  const context = b.input('encoderHiddenStates', 'f32', [
    batch,
    tokens,
    config.crossAttentionWidth,
  ]);
  const condition = config.timeConditionWidth
    ? b.input('timestepCondition', 'f32', [batch, config.timeConditionWidth])
    : undefined;

  const time = timeFeatures(b, timestep, {
    sinusoids: config.blockOutChannels[0],
    width: config.timeEmbeddingWidth,
    flipSinToCos: config.flipSinToCos,
    freqShift: config.freqShift,
    condition,
  });
  const layers = conditionedLayers(b, config, time, context);

  const centered = config.centerInputSample ? affine(b, sample, { scale: 2, offset: -1 }) : sample;
  let x = conv2d(b, 'conv_in', centered, config.blockOutChannels[0], {
    kernel: config.convInKernel,
  });

  const lastLevel = config.blockOutChannels.length - 1;
  const skips = [x];
  for (let level = 0; level <= lastLevel; level++) {
    b.scope(`down_blocks.${level}`, () => {
      for (let i = 0; i < config.layersPerBlock[level]; i++) {
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

  if (config.midBlock) {
    b.scope('mid_block', () => {
      const outputScaleFactor = config.midBlockScaleFactor;
      x = layers.resnet(0, x, lastLevel, outputScaleFactor);
      x = layers.attention(0, x, lastLevel);
      x = layers.resnet(1, x, lastLevel, outputScaleFactor);
    });
  }

  for (let level = lastLevel; level >= 0; level--) {
    b.scope(`up_blocks.${lastLevel - level}`, () => {
      for (let i = 0; i <= config.layersPerBlock[level]; i++) {
        x = layers.resnet(i, concat(b, x, skips.pop()!), level);
        if (config.upBlockAttention[level]) x = layers.attention(i, x, level);
      }
      if (level > 0) {
        // The size of the next skip, because halving may have rounded.
        const [, skipHeight, skipWidth] = skips[skips.length - 1].shape;
        x = upsample2D(b, 'upsamplers.0', x, { height: skipHeight, width: skipWidth });
      }
    });
  }

  const { normGroups: groups, normEps: eps } = config;
  x = silu(b, groupNorm(b, 'conv_norm_out', x, { groups, eps }));
  x = conv2d(b, 'conv_out', x, config.outChannels, { kernel: config.convOutKernel });
  b.output('sample', x);
  return b.finish();
}

/** The two layers that every block is made of, with the time and the text already in place. */
function conditionedLayers(
  b: GraphBuilder,
  config: UNet2DConditionConfig,
  time: Value,
  context: Value,
) {
  return {
    resnet: (index: number, x: Value, level: number, outputScaleFactor?: number): Value =>
      resnetBlock2D(b, `resnets.${index}`, x, {
        outChannels: config.blockOutChannels[level],
        groups: config.normGroups,
        eps: config.normEps,
        timeFeatures: time,
        outputScaleFactor,
      }),
    attention: (index: number, x: Value, level: number): Value =>
      transformer2D(b, `attentions.${index}`, x, context, {
        heads: config.attentionHeads[level],
        groups: config.normGroups,
        layers: config.transformerLayers[level],
        linearProjection: config.linearProjection,
      }),
  };
}
