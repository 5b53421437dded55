import { type Command, Option } from 'commander';
import { BookendError } from '../core/errors.ts';
import { exportOnnx } from '../onnx/export-onnx.ts';
import { type ModelParts, openModelParts } from '../pipelines/model-parts.ts';
import { type ExportedUNet, openUNet, quantizeUNet } from './exported-unet.ts';
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
    const { graph, weights, metadata } = await openSubject(parts, options);
    const result = await exportOnnx(graph, weights, options.out, {
      producerVersion: packageVersion(),
      documentation: `The U-Net of a diffusion model. ${LAYOUT}`,
      metadata,
      signal: interrupt.signal,
    });
    if (options.json) printJson({ ...result, metadata });
    else print(`${result.model}\n${result.data}`);
  } finally {
    interrupt.dispose();
    await parts.close();
  }
}

/** What to write, and what to say of it in the file. */
interface Subject extends ExportedUNet {
  readonly metadata: Readonly<Record<string, string>>;
}

async function openSubject(parts: ModelParts, options: ExportCommandOptions): Promise<Subject> {
  const { precision, timestepBucket } = options;
  const float = await openUNet(parts, options);
  const metadata = { 'bookend.precision': precision };
  if (precision === 'fp32') return { graph: float.graph, weights: float.weights, metadata };
  const { graph, weights, ...chosen } = quantizeUNet(float, timestepBucket);
  const { minTimestep, maxTimestep } = chosen.bucket;
  note(
    `Activation scales are those of timesteps ${minTimestep} to ${maxTimestep}, bucket ${chosen.index} of 0 to ${chosen.buckets - 1}; at other timesteps this file is less accurate.`,
  );
  const timesteps = `${minTimestep}-${maxTimestep}`;
  return { graph, weights, metadata: { ...metadata, 'bookend.timesteps': timesteps } };
}
