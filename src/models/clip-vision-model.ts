import type { Graph, Value } from '../ir/graph.ts';
import { GraphBuilder } from '../ir/graph-builder.ts';
import { add, broadcast, concat, conv2d, reshape, slice } from '../ir/ops/index.ts';
import { imageToTokens } from '../nn/attention.ts';
import { layerNorm, linear } from '../nn/layers.ts';
import { clipEncoderLayer } from './clip-encoder.ts';
import type { CLIPVisionConfig } from './clip-vision-model-config.ts';

const CHANNELS = 3;

/**
 * The image half of CLIP: a vision transformer (arXiv 2010.11929) with a norm in front of its layers,
 * whose class token goes through a linear layer without bias.
 *
 * Input: `pixelValues` [batch, imageSize, imageSize, 3], normalised by channel. Output: `imageEmbeds`
 * [batch, projectionDim], not normalised.
 */
export function buildCLIPVisionModelWithProjection(
  config: CLIPVisionConfig,
  projectionDim: number,
  { batch }: { readonly batch: number },
): Graph {
  const { imageSize, layers, normEps, width } = config;
  const b = new GraphBuilder('CLIPVisionModelWithProjection');
  const pixels = b.input('pixelValues', 'f32', [batch, imageSize, imageSize, CHANNELS]);
  const pooled = b.scope('vision_model', () => {
    const tokens = b.scope('embeddings', () => embeddings(b, config, pixels));
    // Published checkpoints spell it so.
    let x = layerNorm(b, 'pre_layrnorm', tokens, normEps);
    for (let i = 0; i < layers; i++) {
      x = b.scope(`encoder.layers.${i}`, () => clipEncoderLayer(b, config, x, { causal: false }));
    }
    const first = slice(b, x, { axis: 1, start: 0, length: 1 });
    return layerNorm(b, 'post_layernorm', reshape(b, first, [batch, width]), normEps);
  });
  b.output('imageEmbeds', linear(b, 'visual_projection', pooled, projectionDim, { bias: false }));
  return b.finish();
}

/** A class token, then one for each patch, with their positions: [batch, 1 + patches, width]. */
function embeddings(b: GraphBuilder, config: CLIPVisionConfig, pixels: Value): Value {
  const { width, patchSize } = config;
  const [batch] = pixels.shape;
  const kernel = b.parameter('patch_embedding.weight', [width, CHANNELS, patchSize, patchSize]);
  const patches = imageToTokens(b, conv2d(b, pixels, kernel, undefined, { stride: patchSize }));
  const token = reshape(b, b.parameter('class_embedding', [width]), [1, 1, width]);
  const tokens = concat(b, broadcast(b, token, [batch, 1, width]), patches, { axis: 1 });
  return add(b, tokens, b.parameter('position_embedding.weight', [tokens.shape[1], width]));
}
