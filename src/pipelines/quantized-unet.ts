import { BookendError } from '../core/errors.ts';
import type { Graph } from '../ir/graph.ts';
import { runPasses } from '../passes/index.ts';
import { int8Scores } from '../passes/int8-scores.ts';
import { quantizeLayers } from '../passes/quantize-layers.ts';
import type { QuantizationConfig } from '../quantization/config.ts';
import { parseQuantizedUNet, type QuantizedUNet } from '../quantization/quantized-model.ts';
import { checkQuantizedUNet, quantizedWeights } from '../quantization/quantized-weights.ts';
import type { WeightSource } from '../runtime/backend.ts';
import type { ModelParts } from './model-parts.ts';
import type { UNetQuantizer } from './unet.ts';
import { cutUNet } from './unet-parts.ts';
import { weightsOf } from './weights.ts';

/** A quantized U-Net that was found sound, and the tensors of both its forms in one source. */
export interface LoadedQuantization {
  readonly model: QuantizedUNet;
  /** Original names and quantized ones. */
  readonly weights: WeightSource;
  /** For INT8; undefined when only the weights are quantized. */
  readonly quantizer: UNetQuantizer | undefined;
}

/**
 * Opens what `bookend quantize` added to a model, and checks all of it before anything is computed.
 *
 * @param graph the U-Net of any size, as the model builds it
 * @param original the U-Net's own tensors
 * @returns undefined for a model that is not quantized
 * @throws BookendError `invalid-checkpoint`, `missing-tensor`, `unsupported`, `io`
 */
export async function openQuantizedUNet(
  parts: ModelParts,
  graph: Graph,
  original: WeightSource,
): Promise<LoadedQuantization | undefined> {
  const files = await parts.quantization();
  if (!files) return undefined;
  const model = parseQuantizedUNet(files.json, files.jsonPath);
  const tensors = weightsOf(files.tensors);
  const layers = await checkQuantizedUNet(model, stepGraph(graph), tensors, files.tensorsPath);
  return {
    model,
    weights: quantizedWeights(original, tensors, model.config, layers),
    quantizer: model.buckets.length > 0 ? unetQuantizer(model) : undefined,
  };
}

/** The part of a U-Net that runs at every step, which alone is quantized. */
export function stepGraph(graph: Graph): Graph {
  return cutUNet(graph, 'fp32').rest;
}

/** One INT8 graph for each bucket; they differ in scalars alone and share all weights. */
export function unetQuantizer(model: QuantizedUNet): UNetQuantizer {
  const { config, buckets, layersAt } = model;
  const scores = config.attentionScores === 'int8' ? [int8Scores] : [];
  return {
    buckets: buckets.length,
    layers: [...(buckets[0]?.layers.keys() ?? [])],
    bucketAt: layersAt,
    quantize: (graph, bucket) =>
      runPasses(graph, [quantizeLayers(buckets[bucket].layers), ...scores]),
    alone: (layer) => unetQuantizer(onlyLayer(model, layer)),
  };
}

/** The attention scores, which belong to no layer, stay in floating point. */
function onlyLayer(model: QuantizedUNet, path: string): QuantizedUNet {
  const buckets = model.buckets.map((bucket) => ({
    ...bucket,
    layers: new Map([...bucket.layers].filter(([layer]) => layer === path)),
  }));
  const config: QuantizationConfig = { ...model.config, attentionScores: 'float' };
  return { ...model, config, buckets };
}

/** @throws BookendError `invalid-argument` unless the scheduler was trained on as many timesteps */
export function requireSameTimesteps(
  { trainTimesteps, buckets }: QuantizedUNet,
  schedulerTimesteps: number,
  origin: string,
): void {
  if (buckets.length === 0 || trainTimesteps === schedulerTimesteps) return;
  throw new BookendError(
    'invalid-checkpoint',
    `${origin} was quantized for ${trainTimesteps} timesteps and its scheduler has ${schedulerTimesteps}; quantize it again.`,
  );
}
