import { cpus } from 'node:os';
import type { GroupNormSplit } from '../compiler/instructions.ts';
import {
  equalTasksUtilization,
  type OpUsage,
  type RunUsage,
  type Usage,
  utilization,
} from '../evaluation/core-usage.ts';
import {
  compareGroupNormSplits,
  GROUP_NORM_SPLITS,
  type GroupNormComparison,
} from '../evaluation/group-norm-splits.ts';
import { type CoreUsage, measureCoreUsage } from '../evaluation/measure-core-usage.ts';
import type { Graph } from '../ir/graph.ts';
import { type Pass, runPasses } from '../passes/index.ts';
import type { Precision } from '../quantization/precision-schedule.ts';
import type { WeightSource } from '../runtime/backend.ts';
import { resolveIsa, resolveThreads } from '../runtime/native/cpu.ts';
import { interruptSignal } from './interrupt.ts';
import { formatTable, note, print, printJson } from './output.ts';

export interface BenchCoreUsageOptions {
  readonly model: string;
  readonly passes: readonly Pass[];
  readonly precision: Precision;
  readonly size: { readonly width: number; readonly height: number };
  readonly batch: number;
  readonly rounds: number;
  readonly threads?: number;
  readonly simulateThreads: readonly number[];
  readonly json?: boolean;
}

/** Powers of two, and the cores of the CPU that arXiv 2311.16133 measured on. */
export const SIMULATED_THREADS: readonly number[] = [1, 2, 4, 8, 16, 32, 56, 64];

/** The table has no more GroupNorms than these, the costliest. */
const NORMS_SHOWN = 6;

const NOT_MODELLED =
  'Simulated: kernels plan for that many threads, and one thread does the work of all of them. Not modelled: memory bandwidth, shared caches, cache lines that several cores write to, clock speed, and what starting and ending a loop costs.';

/** `bookend bench --core-usage`: how much of the cores each op of a U-Net step makes use of. */
export async function benchCoreUsage(
  graph: Graph,
  weights: WeightSource,
  options: BenchCoreUsageOptions,
): Promise<void> {
  const { passes, rounds, simulateThreads: simulated } = options;
  const threads = resolveThreads(options.threads);
  const interrupt = interruptSignal();
  const { signal } = interrupt;
  try {
    const step = await measureCoreUsage(graph, weights, {
      passes,
      measured: [threads],
      simulated,
      rounds,
      signal,
      onRun: (run) =>
        note(
          `${run.simulated ? 'simulated' : 'measured'} ${run.threads} threads: ${run.seconds.toFixed(3)} s of work`,
        ),
    });
    const measured = upTo(threads);
    const norms = await compareGroupNormSplits(runPasses(graph, passes), {
      measured,
      simulated,
      rounds,
      signal,
    });
    if (options.json) reportJson(step, norms, { ...options, threads });
    else report(step, norms, { ...options, threads });
  } finally {
    interrupt.dispose();
  }
}

/** The powers of two below `threads`, and itself. */
function upTo(threads: number): number[] {
  const counts: number[] = [];
  for (let count = 1; count < threads; count *= 2) counts.push(count);
  return [...counts, threads];
}

type Options = BenchCoreUsageOptions & { readonly threads: number };

function reportJson(step: CoreUsage, norms: GroupNormComparison, options: Options): void {
  const { model, precision, batch, size, threads } = options;
  const cpu = cpuModel();
  printJson({ cpu, threads, isa: resolveIsa(), model, precision, batch, size, step, norms });
}

function report(step: CoreUsage, norms: GroupNormComparison, options: Options): void {
  const { simulated } = step;
  const { model, precision, batch, size, threads } = options;
  print(
    `${cpuModel()}, ${threads} threads, ${resolveIsa()}; ${model}, ${precision}, ${size.width}×${size.height}, batch ${batch}, ${step.tasks} tasks`,
  );
  print('');
  print('Share of all threads’ time in which they work, measured, then simulated (~):');
  print(stepTable(step));
  print('');
  print('GroupNorm split into tasks by rows (as it runs), by 16 channels, and by groups;');
  print('milliseconds and the share of all threads’ time, measured, then simulated (~):');
  print(normTable(norms));
  print('');
  print('The same counted alone: equally long tasks, each a group or channel of an image, as in');
  print('memory that holds one channel after the other:');
  print(countedTable(norms, simulated));
  print('');
  print(NOT_MODELLED);
}

function stepTable({ measured: [measured], simulated }: CoreUsage): string {
  const opAt = (run: RunUsage, { op, kernel }: OpUsage) =>
    run.ops.find((one) => one.op === op && one.kernel === kernel)!;
  const ops = [...measured.ops].sort((a, b) => b.seconds - a.seconds);
  const share = ({ seconds }: Usage) => percent(seconds / measured.seconds);
  const rows = ops.map((op) => [
    op.op,
    op.kernel,
    String(op.count),
    milliseconds(op),
    share(op),
    percent(utilization(op)),
    ...simulated.map((run) => percent(utilization(opAt(run, op)))),
  ]);
  const runs = [measured, ...simulated];
  rows.push(
    ['step', '', '', milliseconds(measured), '100.0%', ...runs.map((r) => percent(utilization(r)))],
    ['seconds', '', '', '', '', ...runs.map(({ seconds }) => seconds.toFixed(3))],
  );
  const alone = simulated.find(({ threads }) => threads === 1);
  if (alone) {
    const speedUps = runs.map(({ seconds }) => `${(alone.seconds / seconds).toFixed(1)}×`);
    rows.push(['speed-up', '', '', '', '', ...speedUps]);
  }
  const header = ['op', 'kernel', 'count', 'ms', 'share', ...threadHeader([measured], simulated)];
  return formatTable(header, rows, [false, false, ...new Array(header.length - 2).fill(true)]);
}

function normTable({ norms, all }: GroupNormComparison): string {
  const rowsOf = (name: string, count: number, splits: GroupNormComparison['all']) =>
    GROUP_NORM_SPLITS.map((split: GroupNormSplit, i) => [
      i === 0 ? name : '',
      i === 0 ? String(count) : '',
      split,
      String(splits[split].tasks),
      ...[...splits[split].measured, ...splits[split].simulated].map(
        (usage) => `${milliseconds(usage)} ${percent(utilization(usage)).padStart(6)}`,
      ),
    ]);
  const count = norms.reduce((sum, norm) => sum + norm.count, 0);
  const rows = [
    ...rowsOf('all of a step', count, all),
    ...norms
      .slice(0, NORMS_SHOWN)
      .flatMap(({ shape, count, splits }) => rowsOf(shape.join('×'), count, splits)),
  ];
  const { measured, simulated } = all.rows;
  const header = ['shape', 'count', 'split by', 'tasks', ...threadHeader(measured, simulated)];
  const toTheRight = [false, true, false, ...new Array(header.length - 3).fill(true)];
  return formatTable(header, rows, toTheRight);
}

/** Of the costliest GroupNorm. */
function countedTable(
  { norms: [{ shape, groups }] }: GroupNormComparison,
  simulated: readonly Usage[],
): string {
  const row = (name: string, tasks: number) => [
    name,
    String(tasks),
    ...simulated.map(({ threads }) => percent(equalTasksUtilization(tasks, threads))),
  ];
  const [batch, channels] = [shape[0], shape[shape.length - 1]];
  const rows = [row('channels', batch * channels), row('groups', batch * groups)];
  const header = [shape.join('×'), 'tasks', ...threadHeader([], simulated)];
  return formatTable(header, rows, [false, ...new Array(header.length - 1).fill(true)]);
}

function threadHeader(measured: readonly Usage[], simulated: readonly Usage[]): string[] {
  return [
    ...measured.map(({ threads }) => (threads === 1 ? '1 thread' : `${threads} threads`)),
    ...simulated.map(({ threads }) => `~${threads}`),
  ];
}

const cpuModel = () => cpus()[0]?.model.trim() ?? 'unknown';

const percent = (value: number) => `${(100 * value).toFixed(1)}%`;

const milliseconds = ({ seconds }: Usage) =>
  seconds < 0.01 ? (1000 * seconds).toFixed(3) : (1000 * seconds).toFixed(1);
