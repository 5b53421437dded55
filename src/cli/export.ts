import { type Command, Option } from 'commander';
import { BookendError } from '../core/errors.ts';
import type { Graph } from '../ir/graph.ts';
import { parseAutoencoderKLConfig } from '../models/autoencoder-kl-config.ts';
import { checkParameters } from '../models/check-parameters.ts';
import { unet2DConditionParameters, unet2DParameters } from '../models/parameters.ts';
import { buildUNet2DModel } from '../models/unet-2d.ts';
import { buildUNet2DConditionModel } from '../models/unet-2d-condition.ts';
import { parseUNet2DConditionConfig } from '../models/unet-2d-condition-config.ts';
import { parseUNet2DConfig } from '../models/unet-2d-config.ts';
import { exportOnnx } from '../onnx/export-onnx.ts';
import { inferencePasses, runPasses } from '../passes/index.ts';
import { quantizeLayers } from '../passes/quantize-layers.ts';
import { type ModelParts, openModelParts } from '../pipelines/model-parts.ts';
import { requireExtent } from '../pipelines/request.ts';
import { weightsOf } from '../pipelines/weights.ts';
import { isWeightOnly } from '../quantization/config.ts';
import { parseQuantizedUNet, type QuantizedUNet } from '../quantization/quantized-model.ts';
import { checkQuantizedUNet, quantizedWeights } from '../quantization/quantized-weights.ts';
import type { WeightSource } from '../runtime/backend.ts';
import { interruptSignal } from './interrupt.ts';
import { packageVersion, resolveModel } from './models.ts';
import { imageSize, wholeNumber } from './options.ts';
import { note, print, printJson } from './output.ts';

interface ExportCommandOptions {
  readonly out: string;
  readonly size?: { readonly width: number; readonly height: number };
  readonly batch: number;
  readonly precision: 'fp32' | 'int8';
  readonly timestepBucket?: number;
  readonly json?: boolean;
}

/** What to write: a U-Net ready for inference, with its weights and what to say of it. */
interface Subject {
  readonly graph: Graph;
  readonly weights: WeightSource;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Length of a text: one chunk of CLIP. */
const TOKENS = 77;

const LAYOUT =
  'sample and out_sample are channels-last, [batch, height, width, channels]; timestep is [batch]; encoderHiddenStates, where there is one, is [batch, tokens, width]; all are float32.';

/** `bookend export MODEL`: its U-Net as an ONNX file. */
export function addExportCommand(program: Command): void {
  program
    .command('export')
    .description('write a U-Net as an ONNX file, for other runtimes')
    .argument('<model>', 'as generate takes it')
    .requiredOption('-o, --out <file>', 'file.onnx; the weights go to file.onnx.data beside it')
    .option('--size <WxH>', "image size in pixels; default: the model's own", imageSize)
    .option('-b, --batch <b>', 'latents a step; guidance takes 2 an image', wholeNumber(1), 2)
    .addOption(
      new Option('-p, --precision <precision>', 'int8 needs a model that quantize has made')
        .choices(['fp32', 'int8'])
        .default('fp32'),
    )
    .option(
      '--timestep-bucket <i>',
      'which activation scales, counting from 0; default: the middle',
      wholeNumber(0),
    )
    .option('--json', 'print one JSON object as the last line')
    .action(exportModel);
}

async function exportModel(reference: string, options: ExportCommandOptions): Promise<void> {
  if (!options.out.endsWith('.onnx')) {
    throw new BookendError(
      'invalid-argument',
      `The output is ${JSON.stringify(options.out)}; give a file that ends in .onnx.`,
    );
  }
  if (options.timestepBucket !== undefined && options.precision !== 'int8') {
    throw new BookendError(
      'invalid-argument',
      'There are timestep buckets in INT8 alone; leave --timestep-bucket out or add --precision int8.',
    );
  }
  const parts = await openModelParts(await resolveModel(reference));
  const interrupt = interruptSignal();
  try {
    const float = await openUNet(parts, options);
    const subject = options.precision === 'int8' ? await quantize(parts, float, options) : float;
    const result = await exportOnnx(subject.graph, subject.weights, options.out, {
      producerVersion: packageVersion(),
      documentation: `The U-Net of a diffusion model. ${LAYOUT}`,
      metadata: { ...subject.metadata, 'bookend.precision': options.precision },
      signal: interrupt.signal,
    });
    if (options.json) printJson({ ...result, metadata: subject.metadata });
    else print(`${result.model}\n${result.data}`);
  } finally {
    interrupt.dispose();
    await parts.close();
  }
}

/** The U-Net of the size asked for, in FP32. */
async function openUNet(parts: ModelParts, options: ExportCommandOptions): Promise<Subject> {
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

function ready(model: Graph, weights: WeightSource): Subject {
  return { graph: runPasses(model, inferencePasses('f32')), weights, metadata: {} };
}

interface Size {
  readonly height: number;
  readonly width: number;
}

function latentSize(
  own: Size | undefined,
  downscale: number,
  { size }: ExportCommandOptions,
): Size {
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

/** The INT8 form of `float`, with the activation scales of one range of timesteps. */
async function quantize(
  parts: ModelParts,
  { graph, weights }: Subject,
  { timestepBucket }: ExportCommandOptions,
): Promise<Subject> {
  const files = await parts.quantization();
  if (!files) {
    throw new BookendError(
      'invalid-argument',
      `${parts.origin} is not quantized, so there is no INT8 to export; make a model that is with \`bookend quantize ${parts.origin} --out DIR\`, or choose fp32.`,
    );
  }
  const { json, jsonPath, tensors, tensorsPath } = files;
  const model = parseQuantizedUNet(json, jsonPath);
  if (isWeightOnly(model.config)) {
    throw new BookendError(
      'unsupported',
      `${parts.origin} has only its weights quantized and computes in floats; export it with --precision fp32.`,
    );
  }
  const source = weightsOf(tensors);
  const layers = await checkQuantizedUNet(model, graph, source, tensorsPath);
  const { minTimestep, maxTimestep, ...bucket } = chooseBucket(model, timestepBucket);
  return {
    graph: quantizeLayers(bucket.layers).run(graph),
    weights: quantizedWeights(weights, source, model.config, layers),
    metadata: { 'bookend.timesteps': `${minTimestep}-${maxTimestep}` },
  };
}

function chooseBucket({ buckets }: QuantizedUNet, wanted: number | undefined) {
  const index = wanted ?? Math.floor(buckets.length / 2);
  const bucket = buckets[index];
  if (bucket) {
    const { minTimestep, maxTimestep } = bucket;
    note(
      `Activation scales are those of timesteps ${minTimestep} to ${maxTimestep}, bucket ${index} of 0 to ${buckets.length - 1}; others are less accurate in this file.`,
    );
    return bucket;
  }
  throw new BookendError(
    'invalid-argument',
    `There is no timestep bucket ${index}; choose from 0 to ${buckets.length - 1}.`,
  );
}
