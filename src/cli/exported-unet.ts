import { BookendError } from '../core/errors.ts';
import type { Graph } from '../ir/graph.ts';
import { parseAutoencoderKLConfig } from '../models/autoencoder-kl-config.ts';
import { checkParameters } from '../models/check-parameters.ts';
import { unet2DConditionParameters, unet2DParameters } from '../models/parameters.ts';
import { buildUNet2DModel } from '../models/unet-2d.ts';
import { buildUNet2DConditionModel } from '../models/unet-2d-condition.ts';
import { parseUNet2DConditionConfig } from '../models/unet-2d-condition-config.ts';
import { parseUNet2DConfig } from '../models/unet-2d-config.ts';
import { inferencePasses, runPasses } from '../passes/index.ts';
import type { ModelParts } from '../pipelines/model-parts.ts';
import { openQuantizedUNet } from '../pipelines/quantized-unet.ts';
import { requireExtent } from '../pipelines/request.ts';
import { weightsOf } from '../pipelines/weights.ts';
import type { QuantizedUNet, TimestepBucket } from '../quantization/quantized-model.ts';
import type { WeightSource } from '../runtime/backend.ts';

/** A U-Net that is ready for inference, and its weights. */
export interface ExportedUNet {
  readonly graph: Graph;
  readonly weights: WeightSource;
}

export interface ExportSize {
  /** Of the image, in pixels; by default the model's own. */
  readonly size?: { readonly width: number; readonly height: number };
  readonly batch: number;
}

/** Length of a text: one chunk of CLIP. */
const TOKENS = 77;

/**
 * The U-Net of a model in FP32.
 *
 * @throws BookendError as the parsers of configurations and `checkParameters` do; `invalid-argument`
 * for a size that does not fit, or none where the model has none of its own
 */
export async function openUNet(parts: ModelParts, options: ExportSize): Promise<ExportedUNet> {
  const config = (await parts.config('unet')) as { readonly _class_name?: unknown };
  const conditional = config._class_name !== 'UNet2DModel';
  const { downscale } = conditional
    ? parseAutoencoderKLConfig(await parts.config('vae'))
    : { downscale: 1 };
  const { batch } = options;
  const source = await parts.weights('unet');
  const weights = weightsOf(source);
  const check = (expected: Parameters<typeof checkParameters>[0], model: string) =>
    checkParameters(expected, weights, { origin: source.origin, model });
  if (conditional) {
    const unet = parseUNet2DConditionConfig(config);
    check(unet2DConditionParameters(unet), 'UNet2DConditionModel');
    const size = { batch, tokens: TOKENS, ...latentSize(unet.sampleSize, downscale, options) };
    return ready(buildUNet2DConditionModel(unet, size), weights);
  }
  const unet = parseUNet2DConfig(config);
  check(unet2DParameters(unet), 'UNet2DModel');
  const size = { batch, ...latentSize(unet.sampleSize, downscale, options) };
  return ready(buildUNet2DModel(unet, size), weights);
}

function ready(model: Graph, weights: WeightSource): ExportedUNet {
  return { graph: runPasses(model, inferencePasses('f32')), weights };
}

interface Size {
  readonly height: number;
  readonly width: number;
}

function latentSize(own: Size | undefined, downscale: number, { size }: ExportSize): Size {
  if (size) {
    return {
      height: requireExtent('height', size.height, downscale) / downscale,
      width: requireExtent('width', size.width, downscale) / downscale,
    };
  }
  if (own) return own;
  throw new BookendError(
    'invalid-argument',
    'The model does not say which image size is its own; pass --size WxH.',
  );
}

/** The INT8 form of a U-Net, with the activation scales of one range of timesteps. */
export interface QuantizedExport extends ExportedUNet {
  readonly bucket: TimestepBucket;
  readonly index: number;
  /** Of which `bucket` is one. */
  readonly buckets: number;
}

/**
 * Quantizes `float` as the model's own quantization says; the middle bucket by default.
 *
 * @throws BookendError `invalid-argument` where there is none or no such bucket; `unsupported` where
 * only weights are quantized; as reading the quantization does
 */
export async function quantizeUNet(
  parts: ModelParts,
  { graph, weights }: ExportedUNet,
  wanted?: number,
): Promise<QuantizedExport> {
  const opened = await openQuantizedUNet(parts, graph, weights);
  if (!opened) {
    throw new BookendError(
      'invalid-argument',
      `${parts.origin} is not quantized, so there is no INT8 to export; make a model that is with \`bookend quantize ${parts.origin} --out DIR\`, or choose fp32.`,
    );
  }
  const { model, quantizer, weights: joined } = opened;
  if (!quantizer) {
    throw new BookendError(
      'unsupported',
      `${parts.origin} has only its weights quantized and computes in floats; export it with --precision fp32.`,
    );
  }
  const index = wanted ?? Math.floor(model.buckets.length / 2);
  const bucket = requireBucket(model, index);
  return {
    graph: quantizer.quantize(graph, index),
    weights: joined,
    bucket,
    index,
    buckets: model.buckets.length,
  };
}

function requireBucket({ buckets }: QuantizedUNet, index: number): TimestepBucket {
  if (index < buckets.length) return buckets[index];
  throw new BookendError(
    'invalid-argument',
    `There is no timestep bucket ${index}; choose from 0 to ${buckets.length - 1}.`,
  );
}
