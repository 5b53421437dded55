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
import { type LoadedQuantization, openQuantizedUNet } from '../pipelines/quantized-unet.ts';
import { requireExtent } from '../pipelines/request.ts';
import { weightsOf } from '../pipelines/weights.ts';
import type { QuantizedUNet, TimestepBucket } from '../quantization/quantized-model.ts';
import type { WeightSource } from '../runtime/backend.ts';

/** A U-Net that is ready for inference, and its weights. */
export interface ExportedUNet {
  readonly graph: Graph;
  readonly weights: WeightSource;
}

/** A U-Net in FP32, and what `bookend quantize` added to it. */
export interface FloatUNet extends ExportedUNet {
  /** Where it came from, for messages. */
  readonly origin: string;
  readonly quantization?: LoadedQuantization;
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
 * @throws BookendError as the parsers of configurations, `checkParameters` and `openQuantizedUNet` do;
 * `invalid-argument` for a size that does not fit, or none where the model has none of its own
 */
export async function openUNet(parts: ModelParts, options: ExportSize): Promise<FloatUNet> {
  const config = (await parts.config('unet')) as { readonly _class_name?: unknown };
  const conditional = config._class_name !== 'UNet2DModel';
  const { downscale } = conditional
    ? parseAutoencoderKLConfig(await parts.config('vae'))
    : { downscale: 1 };
  const source = await parts.weights('unet');
  const original = weightsOf(source);
  const { model, expected } = conditional
    ? conditionalUNet(config, downscale, options)
    : unconditionalUNet(config, options);
  checkParameters(expected, original, { origin: source.origin, model: model.name });
  const quantization = await openQuantizedUNet(parts, model, original);
  return {
    origin: parts.origin,
    graph: runPasses(model, inferencePasses('f32')),
    weights: quantization?.weights ?? original,
    ...(quantization && { quantization }),
  };
}

function conditionalUNet(json: unknown, downscale: number, options: ExportSize) {
  const config = parseUNet2DConditionConfig(json);
  const latents = latentSize(config.sampleSize, downscale, options);
  const size = { batch: options.batch, tokens: TOKENS, ...latents };
  const expected = unet2DConditionParameters(config);
  return { model: buildUNet2DConditionModel(config, size), expected };
}

function unconditionalUNet(json: unknown, options: ExportSize) {
  const config = parseUNet2DConfig(json);
  const size = { batch: options.batch, ...latentSize(config.sampleSize, 1, options) };
  return { model: buildUNet2DModel(config, size), expected: unet2DParameters(config) };
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
 * only weights are quantized
 */
export function quantizeUNet(
  { origin, graph, quantization }: FloatUNet,
  wanted?: number,
): QuantizedExport {
  if (!quantization) {
    throw new BookendError(
      'invalid-argument',
      `${origin} is not quantized, so there is no INT8 to export; make a model that is with \`bookend quantize ${origin} --out DIR\`, or choose fp32.`,
    );
  }
  const { model, quantizer, weights } = quantization;
  if (!quantizer) {
    throw new BookendError(
      'unsupported',
      `${origin} has only its weights quantized and computes in floats; export it with --precision fp32.`,
    );
  }
  const index = wanted ?? Math.floor(model.buckets.length / 2);
  const bucket = requireBucket(model, index);
  return {
    graph: quantizer.quantize(graph, index),
    weights,
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
