/**
 * `npm run verify:onnx`: exports U-Nets, float and INT8, runs them in onnxruntime without and with
 * graph optimisations, and compares with the reference interpreter. Prints one table; exit status 1
 * when a limit is exceeded. Needs Python with onnx, onnxruntime, safetensors and numpy.
 *
 *   --model DIR   models/emoji by default; of a quantized model, INT8 is its own
 *   --backend B   reference, or native: what to compare with
 *   --only NAMES  cases to run, by their beginning, separated by commas
 *   --folder DIR  keep the exported files there
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { BookendError } from '../../src/core/errors.ts';
import type { Tensor } from '../../src/core/tensor.ts';
import { openCheckpoint } from '../../src/io/checkpoint.ts';
import { writeSafetensors } from '../../src/io/safetensors.ts';
import { exportOnnx, outputName } from '../../src/onnx/export-onnx.ts';
import type { Executable } from '../../src/runtime/backend.ts';
import { nativeBackend } from '../../src/runtime/native/native-backend.ts';
import { referenceBackend } from '../../src/runtime/reference/reference-backend.ts';
import { findPython, runPython } from '../verify-full/python.ts';
import { type Case, casesFor } from './cases.ts';
import { type Comparison, distance, table, withinLimits } from './comparison.ts';
import type { RunnableGraph } from './quantize.ts';

const REPOSITORY = join(import.meta.dirname, '../..');
const FLOAT_LIMIT = 1e-5;
/**
 * A sum in f32 that lands on the other side of a tie moves a whole step, and from there on a network
 * rounds differently: end to end, two exact runtimes are as far apart as two draws of quantization
 * noise, √2 of what INT8 costs, or a bit more. Nodes apart show that there is nothing else.
 */
const INT8_LIMIT = 1e-2;
const CODES_OFF = 1e-3;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      model: { type: 'string', default: join(REPOSITORY, 'models/emoji') },
      only: { type: 'string', default: '' },
      folder: { type: 'string' },
      backend: { type: 'string', default: 'reference' },
    },
  });
  const run = runOf(values.backend);
  const python = await findPython(['onnx', 'onnxruntime', 'safetensors', 'numpy']);
  const wanted = values.only.split(',');
  const { cases: all, close } = await casesFor(values.model);
  const cases = all.filter(({ name }) => wanted.some((start) => name.startsWith(start)));
  const folder = values.folder ?? (await mkdtemp(join(tmpdir(), 'bookend-onnx-')));
  try {
    await mkdir(folder, { recursive: true });
    const nodes: number[] = [];
    for (const each of cases) nodes.push(await writeCase(each, folder));
    const request = join(folder, 'request.json');
    await writeFile(request, JSON.stringify({ cases: cases.map((each) => files(each, folder)) }));
    await runPython(python, [join(import.meta.dirname, 'run.py'), request]);
    const comparisons: Comparison[] = [];
    for (const [i, each] of cases.entries()) {
      comparisons.push({
        ...(await compare(each, folder, each.referenceOnly ? RUNS.reference : run)),
        nodes: nodes[i],
      });
    }
    process.stdout.write(`${table(comparisons)}\n`);
    process.exitCode = comparisons.every(withinLimits) ? 0 : 1;
  } finally {
    await close();
    if (values.folder === undefined) await rm(folder, { recursive: true, force: true });
  }
}

function files({ name }: Case, folder: string) {
  return {
    model: join(folder, `${name}.onnx`),
    inputs: join(folder, `${name}.inputs.safetensors`),
    outputs: join(folder, `${name}.outputs.safetensors`),
  };
}

/** Gives the number of ONNX nodes. */
async function writeCase(each: Case, folder: string): Promise<number> {
  const { model, inputs } = files(each, folder);
  await writeSafetensors(inputs, Object.entries(each.inputs));
  return (await exportOnnx(each.graph, each.weights, model)).nodes;
}

async function compare(each: Case, folder: string, run: Run): Promise<Omit<Comparison, 'nodes'>> {
  const { graph, name, kind } = each;
  const expected = await run(each, kind !== 'float');
  const quantizationError = each.float && distanceOf(expected, await run(each.float, false));
  const endToEnd = Math.max(INT8_LIMIT, 1.5 * (quantizationError ?? 0));
  const limits = { error: kind === 'int8' ? endToEnd : FLOAT_LIMIT, codes: CODES_OFF };
  const file = await openCheckpoint(files(each, folder).outputs);
  const measure = async (level: 'plain' | 'optimized') => {
    const pairs: [Tensor, Tensor][] = [];
    for (const [output, tensor] of Object.entries(expected)) {
      pairs.push([await file.read(`${outputName(graph, output)}.${level}`), tensor]);
    }
    return distance(pairs);
  };
  try {
    const [plain, optimized] = [await measure('plain'), await measure('optimized')];
    return { name, limits, plain, optimized, ...(quantizationError && { quantizationError }) };
  } finally {
    await file.close();
  }
}

/** Runs a graph; `quantized` ones round to the types that they store. */
type Run = (runnable: RunnableGraph, quantized: boolean) => Promise<Record<string, Tensor>>;

const RUNS: Readonly<Record<string, Run>> = {
  reference: ({ graph, weights, inputs }, quantized) =>
    runOnce(referenceBackend.compile(graph, weights, { roundToDType: quantized }), inputs),
  native: ({ graph, weights, inputs }) =>
    runOnce(nativeBackend.compile(graph, weights, { passes: [] }), inputs),
};

async function runOnce(compiling: Promise<Executable>, inputs: RunnableGraph['inputs']) {
  const executable = await compiling;
  const results = await executable.run(inputs);
  executable.dispose();
  return results;
}

function runOf(backend: string): Run {
  if (Object.hasOwn(RUNS, backend)) return RUNS[backend];
  const known = Object.keys(RUNS).join(', ');
  throw new BookendError('invalid-argument', `--backend is ${backend}; choose from ${known}.`);
}

function distanceOf(
  actual: Readonly<Record<string, Tensor>>,
  expected: Readonly<Record<string, Tensor>>,
): number {
  const pairs = Object.entries(expected).map(([name, tensor]) => [actual[name], tensor] as const);
  return distance(pairs).error;
}

try {
  await main();
} catch (error) {
  if (!(error instanceof BookendError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
