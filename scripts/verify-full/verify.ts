/**
 * `npm run verify:full`: builds U-Nets with random weights in diffusers, runs the same weights here
 * and compares, FP32 and BF16. Prints one table; exit status 1 when a limit is exceeded.
 *
 *   --models sd-1.4,sd-1.5,sd-2.1   which architectures
 *   --size N                        latent height and width instead of the model's own
 *   --batch N                       1 by default
 *   --folder DIR                    keep what Python wrote there, and use it again
 *   --backend native|reference
 *   --reduced                       the same architectures with 1/10 of the channels
 */
import { rmSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { BookendError } from '../../src/core/errors.ts';
import type { Tensor } from '../../src/core/tensor.ts';
import { openCheckpoint } from '../../src/io/checkpoint.ts';
import type { TensorSource } from '../../src/io/tensor-source.ts';
import { checkParameters } from '../../src/models/check-parameters.ts';
import { unet2DConditionParameters } from '../../src/models/parameters.ts';
import { buildUNet2DConditionModel } from '../../src/models/unet-2d-condition.ts';
import { parseUNet2DConditionConfig } from '../../src/models/unet-2d-condition-config.ts';
import type { InferencePrecision } from '../../src/passes/index.ts';
import { weightsOf } from '../../src/pipelines/weights.ts';
import { compileOn, type VerifiedBackend, verifiedBackends } from './backends.ts';
import { type Comparison, type Request, relativeL2, table, withinLimits } from './comparison.ts';
import { findPython, runPython } from './python.ts';

const MODELS = ['sd-1.4', 'sd-1.5', 'sd-2.1'];
const TOKENS = 77;
const REPOSITORY = join(import.meta.dirname, '../..');

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      models: { type: 'string', default: MODELS.join(',') },
      size: { type: 'string' },
      batch: { type: 'string', default: '1' },
      folder: { type: 'string' },
      backend: { type: 'string', default: 'native' },
      reduced: { type: 'boolean', default: false },
    },
  });
  const backend = oneOf('--backend', values.backend, verifiedBackends);
  const requests: Request[] = [];
  for (const name of values.models.split(',')) {
    const model = oneOf('--models', name, MODELS);
    requests.push(
      await requestFor(model, values.reduced, wholeNumber('--batch', values.batch), values.size),
    );
  }
  const python = await findPython(['torch', 'diffusers', 'safetensors', 'numpy']);
  const folder = values.folder ?? (await temporaryFolder());
  try {
    const comparisons: Comparison[] = [];
    for (const request of requests) {
      process.stderr.write(`${request.name}, ${request.height}×${request.width} latents\n`);
      const home = join(folder, request.name);
      await evaluateInPython(python, request, home);
      comparisons.push(await compare(request, home, backend));
      if (values.folder === undefined) await rm(home, { recursive: true, force: true });
    }
    process.stdout.write(`${table(comparisons)}\n`);
    process.exitCode = comparisons.every(withinLimits) ? 0 : 1;
  } finally {
    if (values.folder === undefined) await rm(folder, { recursive: true, force: true });
  }
}

/** Several GB may lie here, so an interrupted run takes it away too. */
async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'bookend-verify-'));
  process.once('SIGINT', () => {
    rmSync(folder, { recursive: true, force: true });
    process.exit(130);
  });
  return folder;
}

async function requestFor(
  name: string,
  reduced: boolean,
  batch: number,
  size: string | undefined,
): Promise<Request> {
  const published = join(REPOSITORY, `test/golden/models/published/${name}-unet.json`);
  const config = JSON.parse(await readFile(published, 'utf8'));
  const extent = size === undefined ? config.sample_size : wholeNumber('--size', size);
  if (reduced) {
    config.block_out_channels = [32, 64, 128, 128];
    config.cross_attention_dim = 64;
    if (Array.isArray(config.attention_head_dim)) config.attention_head_dim = [2, 4, 8, 8];
  }
  return { name, config, batch, height: extent, width: extent, tokens: TOKENS };
}

/** Writes weights and outputs below `home`, unless the same request's are there from before. */
async function evaluateInPython(python: string, request: Request, home: string): Promise<void> {
  const text = JSON.stringify(request);
  if ((await storedRequest(home)) === text) return;
  await rm(home, { recursive: true, force: true });
  await mkdir(home, { recursive: true });
  await writeFile(join(home, 'request.json'), text);
  const script = join(import.meta.dirname, 'reference.py');
  await runPython(python, [script, join(home, 'request.json'), home]);
}

async function storedRequest(home: string): Promise<string | undefined> {
  try {
    const outputs = await openCheckpoint(join(home, 'outputs.safetensors'));
    await outputs.close();
    return outputs.metadata.request;
  } catch (error) {
    if (error instanceof BookendError && error.code === 'not-found') return undefined;
    throw error;
  }
}

async function compare(
  request: Request,
  home: string,
  backend: VerifiedBackend,
): Promise<Comparison> {
  const outputs = await openCheckpoint(join(home, 'outputs.safetensors'));
  const weights = await openCheckpoint(join(home, 'unet'));
  try {
    const [truth, torchBf16] = [await outputs.read('float32'), await outputs.read('bfloat16')];
    const fp32 = await evaluate(request, weights, outputs, backend, 'f32');
    const bf16 = await evaluate(request, weights, outputs, backend, 'bf16');
    return {
      request,
      fp32Error: relativeL2(fp32.sample, truth),
      bf16Error: relativeL2(bf16.sample, truth),
      torchBf16Error: relativeL2(torchBf16, truth),
      fp32Seconds: fp32.seconds,
      bf16Seconds: bf16.seconds,
    };
  } finally {
    await outputs.close();
    await weights.close();
  }
}

async function evaluate(
  request: Request,
  source: TensorSource,
  inputs: TensorSource,
  backend: VerifiedBackend,
  precision: InferencePrecision,
): Promise<{ sample: Tensor; seconds: number }> {
  const config = parseUNet2DConditionConfig(request.config);
  const weights = weightsOf(source);
  checkParameters(unet2DConditionParameters(config), weights, {
    origin: source.origin,
    model: 'UNet2DConditionModel',
  });
  const graph = buildUNet2DConditionModel(config, request);
  const executable = await compileOn(backend, graph, weights, precision);
  try {
    const tensors: Record<string, Tensor> = {};
    for (const name of Object.keys(graph.inputs)) tensors[name] = await inputs.read(name);
    const start = performance.now();
    const { sample } = await executable.run(tensors);
    const seconds = (performance.now() - start) / 1000;
    process.stderr.write(`  bookend ${precision}: ${seconds.toFixed(1)} s\n`);
    return { sample, seconds };
  } finally {
    executable.dispose();
  }
}

function oneOf<T extends string>(option: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((candidate) => candidate === value);
  if (found !== undefined) return found;
  throw new BookendError(
    'invalid-argument',
    `${option} is ${JSON.stringify(value)}; choose from ${allowed.join(', ')}.`,
  );
}

function wholeNumber(option: string, value: string): number {
  const number = Number(value);
  if (Number.isInteger(number) && number >= 1 && number <= 1024) return number;
  throw new BookendError(
    'invalid-argument',
    `${option} is ${JSON.stringify(value)}; give a whole number from 1 to 1024.`,
  );
}

/** What parseArgs throws. */
function isUsageError(error: unknown): error is Error & { code: string } {
  return error instanceof Error && 'code' in error && `${error.code}`.startsWith('ERR_PARSE_ARGS');
}

try {
  await main();
} catch (error) {
  if (!(error instanceof BookendError) && !isUsageError(error)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = error.code === 'invalid-argument' || isUsageError(error) ? 2 : 1;
}
