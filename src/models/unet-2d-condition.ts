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

/** How the levels of a U-Net are filled, outermost first. */
export type UNetLevels = Pick<
  UNet2DConditionConfig,
  'layersPerBlock' | 'downBlockAttention' | 'upBlockAttention' | 'downsamplePadding'
>;

/** Adds the block of that index within its scope, sized for that level. */
export interface UNetLayers {
  readonly resnet: (index: number, x: Value, level: number, outputScaleFactor?: number) => Value;
  readonly attention: (index: number, x: Value, level: number) => Value;
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

  const skips = downPath(b, config, layers, x);
  x = skips[skips.length - 1];
  if (config.midBlock) x = b.scope('mid_block', () => midBlock(config, layers, x));
  x = upPath(b, config, layers, x, skips);

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
): UNetLayers {
  return {
    resnet: (index, x, level, outputScaleFactor) =>
      resnetBlock2D(b, `resnets.${index}`, x, {
        outChannels: config.blockOutChannels[level],
        groups: config.normGroups,
        eps: config.normEps,
        timeFeatures: time,
        outputScaleFactor,
      }),
    attention: (index, x, level) =>
      transformer2D(b, `attentions.${index}`, x, context, {
        heads: config.attentionHeads[level],
        groups: config.normGroups,
        layers: config.transformerLayers[level],
        linearProjection: config.linearProjection,
      }),
  };
}

/** Everything on the way down that the way up will want: the input first, the last result last. */
export function downPath(
  b: GraphBuilder,
  config: UNetLevels,
  layers: UNetLayers,
  input: Value,
): Value[] {
  let x = input;
  const skips = [x];
  config.layersPerBlock.forEach((count, level) => {
    b.scope(`down_blocks.${level}`, () => {
      for (let i = 0; i < count; i++) {
        x = layers.resnet(i, x, level);
        if (config.downBlockAttention[level]) x = layers.attention(i, x, level);
        skips.push(x);
      }
      if (level === config.layersPerBlock.length - 1) return;
      x = downsample2D(b, 'downsamplers.0', x, config.downsamplePadding);
      skips.push(x);
    });
  });
  return skips;
}

/** At the lowest resolution, and without skips of its own. */
function midBlock(config: UNet2DConditionConfig, layers: UNetLayers, input: Value): Value {
  const level = config.blockOutChannels.length - 1;
  let x = layers.resnet(0, input, level, config.midBlockScaleFactor);
  x = layers.attention(0, x, level);
  return layers.resnet(1, x, level, config.midBlockScaleFactor);
}

/** Consumes `skips` from the end, one for each residual block. */
export function upPath(
  b: GraphBuilder,
  config: UNetLevels,
  layers: UNetLayers,
  input: Value,
  skips: Value[],
): Value {
  let x = input;
  const lastLevel = config.layersPerBlock.length - 1;
  for (let level = lastLevel; level >= 0; level--) {
    b.scope(`up_blocks.${lastLevel - level}`, () => {
      // One more than on the way down, for the downsampled skip.
      for (let i = 0; i <= config.layersPerBlock[level]; i++) {
        x = layers.resnet(i, concat(b, x, skips.pop()!), level);
        if (config.upBlockAttention[level]) x = layers.attention(i, x, level);
      }
      if (level === 0) return;
      // The size of the next skip, because halving may have rounded.
      const [, height, width] = skips[skips.length - 1].shape;
      x = upsample2D(b, 'upsamplers.0', x, { height, width });
    });
  }
  return x;
}
