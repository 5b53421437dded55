/**
 * `npm run bench:peers`: one U-Net step of the same architecture with random weights in Bookend,
 * PyTorch, OpenVINO and ONNX Runtime, each in a process of its own, with Bookend's ceiling probe
 * directly before and after every step. See README.md beside this file.
 */
import { rmSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import {
  BUILT_IN_CONFIGURATIONS,
  type BuiltInConfigurationName,
} from '../../src/models/configurations.ts';
import { hasIntegerProducts } from '../../src/pipelines/cpu-precision.ts';
import type { Precision } from '../../src/quantization/precision-schedule.ts';
import { resolveIsa, resolveThreads } from '../../src/runtime/native/cpu.ts';
import {
  type Contender,
  type ContenderPaths,
  contenderName,
  contendersOf,
  PEERS,
  type Peer,
} from './contender.ts';
import { compareInTurn, compareInterleaved, failure, note, reasonOf } from './measure.ts';
import { exportModel, modelsOf, pythonCommand, whyUnavailable } from './python.ts';
import { asJson, asText, type Outcome } from './report.ts';
import { type StepRequest, stepProducts, stepRequest } from './request.ts';

interface Options {
  readonly model: BuiltInConfigurationName;
  readonly size: { readonly width: number; readonly height: number };
  readonly batch: number;
  readonly rounds: number;
  readonly threads?: number;
  readonly peers: readonly Peer[];
  readonly precisions: readonly Precision[];
  readonly folder?: string;
  readonly interleave: boolean;
  readonly reduced: boolean;
  readonly exportOnly: boolean;
  readonly json: boolean;
}

const PRECISIONS = ['fp32', 'bf16', 'int8'] as const;
/** In pixels: four levels of a U-Net on latents halve three times without remainder. */
const SIZE_STEP = 64;

const program = new Command('compare')
  .description('time a U-Net step in Bookend and its peers')
  .addOption(new Option('-m, --model <model>').choices(BUILT_IN_CONFIGURATIONS).default('sd-1.5'))
  .option('--size <WxH>', 'image size in pixels', pixels, { width: 512, height: 512 })
  .option('-b, --batch <b>', 'latents a step', wholeNumber, 2)
  .option('-r, --rounds <n>', 'steps that count, each', wholeNumber, 5)
  .option('--threads <n>', 'default: one per core', wholeNumber)
  .option('--peers <list>', `of ${PEERS.join(',')}`, listOf(PEERS), [
    'bookend',
    'pytorch',
    'openvino',
    'onnxruntime',
  ])
  .option('--precisions <list>', `of ${PRECISIONS.join(',')}`, listOf(PRECISIONS), PRECISIONS)
  .option('--folder <dir>', 'keep exported models there, and use them again')
  .option('--interleave', 'all contenders in memory at once, a round of each in turn', false)
  .option('--reduced', 'a tenth of the channels, to try the benchmark itself', false)
  .option('--export-only', 'only write the models below --folder', false)
  .option('--json', 'print one JSON object as the last line', false)
  // Wrong usage is 2; asking for help is none.
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
  .action(main);

async function main(options: Options): Promise<void> {
  const threads = resolveThreads(options.threads);
  const request = stepRequest({ ...options, threads });
  const root = options.folder ?? (await temporaryFolder());
  try {
    const paths = await writeRequest(root, request);
    const { ready, outcomes } = await prepare(options, paths);
    if (options.exportOnly) return report(outcomes);
    const compare = options.interleave ? compareInterleaved : compareInTurn;
    const products = Object.fromEntries(
      options.precisions.map((precision) => [precision, stepProducts(request, precision)]),
    );
    const course = {
      paths,
      rounds: options.rounds,
      threads,
      products: (precision: Precision) => products[precision],
    };
    outcomes.push(...(await compare(ready, course)));
    const comparison = {
      cpu: cpus()[0]?.model.trim() ?? 'unknown',
      isa: resolveIsa(),
      request,
      interleaved: options.interleave,
      products,
      outcomes: inOrder(outcomes, contendersOf(options.peers, options.precisions)),
    };
    process.stdout.write(`${asText(comparison)}\n`);
    if (options.json) process.stdout.write(`${JSON.stringify(asJson(comparison))}\n`);
    report(outcomes);
  } finally {
    if (options.folder === undefined) await rm(root, { recursive: true, force: true });
  }
}

/** A missing package is no failure: its peer was left out and the table says so. */
function report(outcomes: readonly Outcome[]): void {
  if (outcomes.some(({ outcome }) => outcome === 'failed')) process.exitCode = 1;
}

/** Several GB may lie here, so an interrupted run takes it away too. */
async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'bookend-peers-'));
  process.once('SIGINT', () => {
    rmSync(folder, { recursive: true, force: true });
    process.exit(130);
  });
  return folder;
}

/** Models of one request share a folder; those of an older request of the same name go. */
async function writeRequest(root: string, request: StepRequest): Promise<ContenderPaths> {
  const { model, batch, height, width } = request;
  const folder = join(root, `${model}-${batch}x${height}x${width}`);
  const requestFile = join(folder, 'request.json');
  const text = JSON.stringify(request);
  if ((await readFile(requestFile, 'utf8').catch(() => '')) !== text) {
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    await writeFile(requestFile, text);
  }
  return { python: pythonCommand(), requestFile, folder };
}

function inOrder(outcomes: readonly Outcome[], order: readonly Contender[]): Outcome[] {
  const at = (one: Contender) =>
    order.findIndex(({ peer, precision }) => peer === one.peer && precision === one.precision);
  return [...outcomes].sort((a, b) => at(a) - at(b));
}

/** Leaves out the contenders that cannot run here, and exports models for the others. */
async function prepare(options: Options, paths: ContenderPaths) {
  const ready: Contender[] = [];
  const outcomes: Outcome[] = [];
  for (const contender of contendersOf(options.peers, options.precisions)) {
    const missing = await whyLeftOut(contender, paths);
    if (missing !== undefined) {
      note(`${contenderName(contender)} skipped: ${missing}`);
      outcomes.push(failure(contender, 'skipped', missing));
      continue;
    }
    try {
      for (const model of modelsOf(contender)) await exportModel(model, paths);
      ready.push(contender);
    } catch (error) {
      outcomes.push(failure(contender, 'failed', reasonOf(error)));
    }
  }
  return { ready, outcomes };
}

async function whyLeftOut(
  contender: Contender,
  paths: ContenderPaths,
): Promise<string | undefined> {
  if (contender.precision === 'int8' && !hasIntegerProducts()) {
    return `INT8 saves time on CPUs with VNNI or AMX, and ${resolveIsa()} has neither.`;
  }
  return whyUnavailable(contender, paths.python);
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1) return value;
  throw new InvalidArgumentError('Pass a whole number of at least 1.');
}

function pixels(text: string): Options['size'] {
  const [width, height] = text.split('x').map(Number);
  const fits = (extent: number) => extent >= SIZE_STEP && extent % SIZE_STEP === 0;
  if (/^\d+x\d+$/.test(text) && fits(width) && fits(height)) return { width, height };
  throw new InvalidArgumentError(`Pass width x height, multiples of ${SIZE_STEP}: 512x512.`);
}

function listOf<T extends string>(allowed: readonly T[]): (text: string) => readonly T[] {
  return (text) =>
    text.split(',').map((name) => {
      const found = allowed.find((candidate) => candidate === name);
      if (found !== undefined) return found;
      throw new InvalidArgumentError(`Pass a list of ${allowed.join(', ')}.`);
    });
}

try {
  await program.parseAsync();
} catch (error) {
  note(reasonOf(error));
  process.exitCode = 1;
}
