/**
 * Training steps of the same U-Net, with the same weights and batches, in Bookend and in PyTorch: that
 * they compute the same, and how long they take. See README.md one folder up.
 *
 *   npm run -s bench:peers:training -- [--network emoji|sd-half] [--batch 4] [--rounds 15]
 *     [--warm-up 5] [--threads n] [--precisions fp32,bf16] [--folder DIR] [--json]
 */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { median } from '../../../src/evaluation/benchmark.ts';
import { writeSafetensors } from '../../../src/io/safetensors.ts';
import { resolveThreads } from '../../../src/runtime/native/cpu.ts';
import { pythonCommand } from '../python.ts';
import {
  BATCHES_FILE,
  NETWORKS,
  type NetworkName,
  network,
  randomBatches,
  type TrainingBenchmarkRequest,
} from './request.ts';
import { type Precision, SIDES, Side, type SidePaths, type Step } from './side.ts';

const { values } = parseArgs({
  options: {
    network: { type: 'string', default: 'emoji' },
    batch: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '15' },
    'warm-up': { type: 'string', default: '5' },
    threads: { type: 'string' },
    precisions: { type: 'string', default: 'fp32' },
    folder: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});
const precisions = values.precisions.split(',');
const counts = { batch: Number(values.batch), rounds: Number(values.rounds) };
const warmUp = Number(values['warm-up']);
if (
  !(NETWORKS as readonly string[]).includes(values.network) ||
  !precisions.every((name) => name === 'fp32' || name === 'bf16') ||
  ![counts.batch, counts.rounds, warmUp].every((count) => Number.isInteger(count) && count >= 1)
) {
  console.error(
    `Pass --network ${NETWORKS.join(' or ')}, --precisions fp32, bf16 or both, and whole numbers of at least 1.`,
  );
  process.exit(2);
}

const root = values.folder ?? (await mkdtemp(join(tmpdir(), 'bookend-training-peers-')));
try {
  const paths = await prepare(join(root, `${values.network}-${counts.batch}`));
  for (const precision of precisions as Precision[]) {
    const sides = await measure(precision, paths);
    console.log(summary(precision, sides));
    if (values.json) console.log(JSON.stringify({ ...about(precision), sides }));
  }
} finally {
  if (values.folder === undefined) await rm(root, { recursive: true, force: true });
}

async function prepare(folder: string): Promise<SidePaths> {
  await mkdir(folder, { recursive: true });
  const request: TrainingBenchmarkRequest = {
    ...network(values.network as NetworkName, folder),
    batch: counts.batch,
    threads: resolveThreads(values.threads === undefined ? undefined : Number(values.threads)),
    ...{ learningRate: 1e-5, clipNorm: 1, weightDecay: 0.01 },
  };
  const paths = { python: pythonCommand(), requestFile: join(folder, 'request.json'), folder };
  await writeFile(paths.requestFile, JSON.stringify(request));
  const script = join(import.meta.dirname, 'peer.py');
  await promisify(execFile)(paths.python, [script, 'weights', paths.requestFile, folder]);
  await writeSafetensors(join(folder, BATCHES_FILE), randomBatches(request));
  return paths;
}

/** Both in memory, a step of each in turn: whatever slows the machine down meets both. */
async function measure(precision: Precision, paths: SidePaths): Promise<readonly Side[]> {
  const sides: Side[] = [];
  for (const name of SIDES) {
    process.stderr.write(`${name} ${precision}: loading\n`);
    sides.push(await Side.start(name, precision, paths));
  }
  for (let round = 0; round < warmUp + counts.rounds; round++) {
    for (const side of sides) await side.step(round);
    const seconds = sides.map(({ name, steps }) => `${name} ${steps[round].seconds.toFixed(3)} s`);
    process.stderr.write(`${round + 1}/${warmUp + counts.rounds} ${seconds.join(', ')}\n`);
  }
  for (const side of sides) await side.close();
  return sides;
}

function about(precision: Precision) {
  const cpu = cpus()[0]?.model.trim() ?? 'unknown';
  const threads = resolveThreads(values.threads === undefined ? undefined : Number(values.threads));
  return { network: values.network, batch: counts.batch, precision, threads, cpu, warmUp };
}

function summary(precision: Precision, [ours, theirs]: readonly Side[]): string {
  const { cpu, threads } = about(precision);
  const timed = ({ steps }: Side) => steps.slice(warmUp).map(({ seconds }) => seconds);
  const ratios = timed(ours).map((seconds, i) => seconds / timed(theirs)[i]);
  const largest = (of: (step: Step) => number) =>
    Math.max(...ours.steps.map((step, i) => Math.abs(of(step) / of(theirs.steps[i]) - 1)));
  const row = ({ name, introduction, steps }: Side, seconds: readonly number[]) =>
    `  ${name.padEnd(8)} median ${median(seconds).toFixed(3)} s, ${Math.min(...seconds).toFixed(3)} to ${Math.max(...seconds).toFixed(3)} s; loss ${steps[0].loss.toFixed(6)} to ${steps.at(-1)!.loss.toFixed(6)} (${introduction.details}; ${Object.entries(
      introduction.versions,
    )
      .map((entry) => entry.join(' '))
      .join(', ')})`;
  return [
    `${values.network}, batch ${counts.batch}, ${precision}, ${counts.rounds} steps after ${warmUp}, ${threads} threads of ${cpu}`,
    row(ours, timed(ours)),
    row(theirs, timed(theirs)),
    `  bookend ÷ pytorch, median of the rounds: ${median(ratios).toFixed(3)}`,
    `  largest relative difference over ${ours.steps.length} steps: loss ${largest(({ loss }) => loss).toExponential(1)}, gradient norm ${largest(({ gradientNorm }) => gradientNorm).toExponential(1)}`,
  ].join('\n');
}
