import type { Shape } from '../core/shape.ts';
import type { Graph } from '../ir/graph.ts';
import { buildAutoencoderKLDecoder, buildAutoencoderKLEncoder } from './autoencoder-kl.ts';
import type { AutoencoderKLConfig } from './autoencoder-kl-config.ts';
import type { CLIPModelConfig } from './clip-model-config.ts';
import { buildCLIPTextModel, buildCLIPTextModelWithProjection } from './clip-text-model.ts';
import type { CLIPTextConfig } from './clip-text-model-config.ts';
import { buildCLIPVisionModelWithProjection } from './clip-vision-model.ts';
import { buildUNet2DModel } from './unet-2d.ts';
import { buildUNet2DConditionModel } from './unet-2d-condition.ts';
import type { UNet2DConditionConfig } from './unet-2d-condition-config.ts';
import type { UNet2DConfig } from './unet-2d-config.ts';

/** What a checkpoint must hold: tensor name to shape. */
export type ParameterShapes = ReadonlyMap<string, Shape>;

/** The parameters of a graph; those of a model with clipSkip, say, are fewer than the model's. */
export function graphParameters(graph: Graph): ParameterShapes {
  return new Map([...graph.parameters].map(([path, { shape }]) => [path, shape]));
}

/*
 * The parameters of whole models. They do not depend on the problem size, so the smallest graph
 * tells them all.
 */

export function unet2DConditionParameters(config: UNet2DConditionConfig): ParameterShapes {
  const extent = 2 ** (config.blockOutChannels.length - 1);
  const size = { batch: 1, height: extent, width: extent, tokens: 1 };
  return graphParameters(buildUNet2DConditionModel(config, size));
}

export function unet2DParameters(config: UNet2DConfig): ParameterShapes {
  const extent = 2 ** (config.blockOutChannels.length - 1);
  return graphParameters(buildUNet2DModel(config, { batch: 1, height: extent, width: extent }));
}

/** Encoder and decoder. */
export function autoencoderKLParameters(config: AutoencoderKLConfig): ParameterShapes {
  const { downscale } = config;
  const image = { batch: 1, height: downscale, width: downscale };
  const encoder = buildAutoencoderKLEncoder(config, image);
  const decoder = buildAutoencoderKLDecoder(config, { batch: 1, height: 1, width: 1 });
  return new Map([...graphParameters(encoder), ...graphParameters(decoder)]);
}

export function clipTextModelParameters(config: CLIPTextConfig): ParameterShapes {
  return graphParameters(buildCLIPTextModel(config, { batch: 1, tokens: 1 }));
}

/** Both halves, their projections and the factor of the logits. */
export function clipModelParameters(config: CLIPModelConfig): ParameterShapes {
  const { text, vision, projectionDim } = config;
  const size = { batch: 1, tokens: 1 };
  return new Map([
    ...graphParameters(buildCLIPTextModelWithProjection(text, projectionDim, size)),
    ...graphParameters(buildCLIPVisionModelWithProjection(vision, projectionDim, size)),
    ['logit_scale', []],
  ]);
}
