import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { BookendError } from '../core/errors.ts';
import { elementCount, formatShape } from '../core/shape.ts';
import { floats } from '../core/tensor.ts';
import { openCheckpoint } from '../io/checkpoint.ts';
import type { WeightedComponent } from '../io/key-aliases.ts';
import type { TensorSource } from '../io/tensor-source.ts';
import {
  describeQuantization,
  type QuantizationDescription,
} from '../pipelines/describe-quantization.ts';
import { isQuantizedSingleFile, openModelParts } from '../pipelines/model-parts.ts';
import { type SchedulerJson, schedulerFromConfig } from '../schedulers/index.ts';
import { jsonOfQuantization, printQuantization } from './inspect-quantization.ts';
import { resolveModel } from './models.ts';
import { formatTable, print, printJson } from './output.ts';

interface InspectOptions {
  readonly variant?: string;
  readonly tensors?: boolean;
  readonly values?: boolean;
  readonly json?: boolean;
}

interface TensorSummary {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: number;
}

interface ComponentSummary {
  readonly component: string;
  readonly architecture: string;
  readonly tensors: readonly TensorSummary[];
  readonly parameters: number;
  readonly bytes: number;
  readonly dtypes: readonly string[];
  /** Tensors that hold NaN or infinity; present when values were read. */
  readonly nonFinite?: readonly string[];
}

/** `bookend inspect PATH`: what a model folder, single file or safetensors file holds. */
export function addInspectCommand(program: Command): void {
  program
    .command('inspect')
    .description('what a model or file holds')
    .argument('<path>', 'model folder, .safetensors file, hub id or "emoji"')
    .option('--variant <name>', 'weights such as fp16 in model.fp16.safetensors')
    .option('--tensors', 'list every tensor')
    .option('--values', 'read every number and report NaN and infinity')
    .option('--json', 'print one JSON object as the last line')
    .action(inspect);
}

async function inspect(reference: string, options: InspectOptions): Promise<void> {
  const path = await resolveModel(reference);
  const { kind, components, scheduler, quantization } = await describe(path, options);
  if (options.json) {
    printJson({ path, kind, scheduler, components, ...jsonOfQuantization(quantization) });
    return;
  }
  print(`${path}: ${kind}${scheduler ? `, scheduler ${scheduler}` : ''}`);
  const rows = components.map((part) => [
    part.component,
    part.architecture,
    String(part.tensors.length),
    `${(part.parameters / 1e6).toFixed(2)} M`,
    part.dtypes.join(' '),
    `${(part.bytes / 2 ** 20).toFixed(1)} MiB`,
  ]);
  const header = ['component', 'architecture', 'tensors', 'parameters', 'stored as', 'size'];
  print(formatTable(header, rows, [false, false, true, true, false, true]));
  for (const part of components) {
    for (const name of part.nonFinite ?? []) {
      print(`${part.component}: ${name} holds NaN or infinity; the checkpoint is damaged.`);
    }
    if (options.tensors) printTensors(part);
  }
  if (components.every(({ nonFinite }) => nonFinite?.length === 0)) print('Every value is finite.');
  if (quantization) printQuantization(quantization);
}

interface Description {
  readonly kind: string;
  readonly components: readonly ComponentSummary[];
  readonly scheduler?: string;
  readonly quantization?: QuantizationDescription;
}

async function describe(path: string, options: InspectOptions): Promise<Description> {
  const whole = await isWholeModel(path);
  if (!whole) {
    const source = await openCheckpoint(path, options);
    const components = [await summarize('tensors', '', source, options)];
    await source.close();
    return { kind: 'safetensors', components };
  }
  const parts = await openModelParts(path, options);
  try {
    const components: ComponentSummary[] = [];
    for (const component of ['text_encoder', 'unet', 'vae'] satisfies WeightedComponent[]) {
      if (!parts.has(component)) continue;
      const config = (await parts.config(component)) as Record<string, unknown>;
      const architecture = String(
        config._class_name ?? (config.architectures as string[])?.[0] ?? '',
      );
      const source = await parts.weights(component);
      components.push(await summarize(component, architecture, source, options));
    }
    return {
      kind: parts.has('text_encoder') ? 'Stable Diffusion' : 'unconditional diffusion',
      components,
      scheduler: describeScheduler(await parts.schedulerConfig()),
      quantization: await describeQuantization(parts),
    };
  } finally {
    await parts.close();
  }
}

/** Its name and prediction type; the reason where Bookend does not run it. */
function describeScheduler(json: SchedulerJson): string {
  try {
    const { name, predictionType } = schedulerFromConfig(json);
    return `${name} (${predictionType})`;
  } catch (error) {
    if (error instanceof BookendError) return `not supported: ${error.message}`;
    throw error;
  }
}

/** A folder with an index, a hub id, or a single file with a U-Net inside; else bare tensors. */
async function isWholeModel(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  if (!found) return true;
  if (found.isDirectory()) {
    const index = await stat(join(path, 'model_index.json')).catch(() => undefined);
    return index !== undefined || (await isQuantizedSingleFile(path));
  }
  const source = await openCheckpoint(path);
  const whole = source.names().some((name) => name.startsWith('model.diffusion_model.'));
  await source.close();
  return whole;
}

async function summarize(
  component: string,
  architecture: string,
  source: TensorSource,
  options: InspectOptions,
): Promise<ComponentSummary> {
  const tensors = source.names().map((name) => {
    const { dtype, shape, byteLength } = source.locate(name);
    return { name, dtype, shape, bytes: byteLength };
  });
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  const nonFinite = options.values ? await findNonFinite(source) : undefined;
  return {
    component,
    architecture,
    tensors,
    parameters: sum(tensors.map(({ shape }) => elementCount(shape))),
    bytes: sum(tensors.map(({ bytes }) => bytes)),
    dtypes: [...new Set(tensors.map(({ dtype }) => dtype))],
    ...(nonFinite && { nonFinite }),
  };
}

const FLOATING = new Set(['F64', 'F32', 'F16', 'BF16']);

async function findNonFinite(source: TensorSource): Promise<string[]> {
  const found: string[] = [];
  for (const name of source.names()) {
    if (!FLOATING.has(source.locate(name).dtype)) continue;
    const values = floats(await source.read(name));
    if (!values.every(Number.isFinite)) found.push(name);
  }
  return found;
}

function printTensors({ component, tensors }: ComponentSummary): void {
  print('');
  print(
    formatTable(
      [component, 'stored as', 'shape'],
      tensors.map(({ name, dtype, shape }) => [name, dtype, formatShape(shape)]),
    ),
  );
}
