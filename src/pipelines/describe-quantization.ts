import { floats } from '../core/tensor.ts';
import type { Graph } from '../ir/graph.ts';
import { buildUNet2DModel } from '../models/unet-2d.ts';
import { buildUNet2DConditionModel } from '../models/unet-2d-condition.ts';
import { parseUNet2DConditionConfig } from '../models/unet-2d-condition-config.ts';
import { parseUNet2DConfig } from '../models/unet-2d-config.ts';
import { quantizedNames } from '../passes/quantize-layers.ts';
import { isWeightOnly, quantizableLayers } from '../quantization/config.ts';
import { type ClippingRange, rangeOfParams } from '../quantization/observers/code-range.ts';
import type { QuantizedUNet } from '../quantization/quantized-model.ts';
import type { ModelParts } from './model-parts.ts';
import { openQuantizedUNet, stepGraph } from './quantized-unet.ts';
import { weightsOf } from './weights.ts';

/** What one layer of a quantized U-Net computes with. */
export interface LayerDescription {
  readonly path: string;
  readonly op: string;
  /** `int8`; `weights`: stored in 8 bits, computed in floating point; `float`: as it was. */
  readonly precision: 'int8' | 'weights' | 'float';
  /** Smallest and largest step of a weight. */
  readonly weightScales?: { readonly min: number; readonly max: number };
  /** Signal to quantization noise in dB, as found when it was quantized. */
  readonly weightSqnr?: number;
  readonly inputSqnr?: number;
  /** What its codes cover, bucket by bucket. */
  readonly x?: readonly ClippingRange[];
  readonly skip?: readonly ClippingRange[];
}

export interface QuantizationDescription {
  readonly model: QuantizedUNet;
  readonly layers: readonly LayerDescription[];
}

/**
 * Explains a quantized U-Net layer by layer, after checking it as loading does.
 *
 * @returns undefined for a model that is not quantized
 * @throws BookendError as `openQuantizedUNet` does
 */
export async function describeQuantization(
  parts: ModelParts,
): Promise<QuantizationDescription | undefined> {
  const files = await parts.quantization();
  if (!files) return undefined;
  const graph = await smallestUNet(parts);
  const original = weightsOf(await parts.weights('unet'));
  const loaded = await openQuantizedUNet(parts, graph, original);
  if (!loaded) return undefined;
  const { model } = loaded;
  const stored = weightsOf(files.tensors);
  const reports = new Map(model.reports.map((report) => [report.path, report]));
  const layers: LayerDescription[] = [];
  for (const { path, node } of quantizableLayers(stepGraph(graph))) {
    const names = quantizedNames(path);
    if (!stored.info(names.weight)) {
      layers.push({ path, op: node.op, precision: 'float' });
      continue;
    }
    const scales = floats(await stored.read(names.scale));
    layers.push({
      path,
      op: node.op,
      precision: isWeightOnly(model.config) ? 'weights' : 'int8',
      weightScales: {
        min: scales.reduce((a, b) => Math.min(a, b)),
        max: scales.reduce((a, b) => Math.max(a, b)),
      },
      weightSqnr: reports.get(path)?.weightSqnr ?? undefined,
      inputSqnr: reports.get(path)?.inputSqnr ?? undefined,
      ...activationRanges(model, path),
    });
  }
  return { model, layers };
}

function activationRanges({ buckets }: QuantizedUNet, path: string) {
  if (buckets.length === 0) return {};
  const params = buckets.map(({ layers }) => layers.get(path)!);
  const skip = params.flatMap((bucket) => (bucket.skip ? [rangeOfParams(bucket.skip)] : []));
  return {
    x: params.map((bucket) => rangeOfParams(bucket.x)),
    ...(skip.length > 0 && { skip }),
  };
}

/** Layers do not depend on the size. */
async function smallestUNet(parts: ModelParts): Promise<Graph> {
  const json = (await parts.config('unet')) as { readonly _class_name?: unknown };
  if (json._class_name === 'UNet2DModel') {
    const config = parseUNet2DConfig(json);
    const extent = 2 ** (config.blockOutChannels.length - 1);
    return buildUNet2DModel(config, { batch: 1, height: extent, width: extent });
  }
  const config = parseUNet2DConditionConfig(json);
  const extent = 2 ** (config.blockOutChannels.length - 1);
  return buildUNet2DConditionModel(config, { batch: 1, height: extent, width: extent, tokens: 1 });
}
