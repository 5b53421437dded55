import type { GroupNormSplit } from '../compiler/instructions.ts';
import type { Tensor } from '../core/tensor.ts';
import type { Graph } from '../ir/graph.ts';
import type { Pass } from '../passes/index.ts';
import type { WeightSource } from '../runtime/backend.ts';
import { nativeBackend } from '../runtime/native/native-backend.ts';
import type { InstructionRecord, NativeExecutable } from '../runtime/native/native-executable.ts';
import { syntheticInputs } from './benchmark.ts';
import {
  measuredUsage,
  type RunUsage,
  runUsage,
  shortestOf,
  simulatedUsage,
} from './core-usage.ts';

export interface CoreUsageOptions {
  /** What makes the graph ready to run. */
  readonly passes: readonly Pass[];
  /** Numbers of threads to run on. */
  readonly measured: readonly number[];
  /** Numbers of threads to simulate on one. */
  readonly simulated: readonly number[];
  /** Runs for each of them; one more comes first of all and does not count. */
  readonly rounds: number;
  readonly groupNormSplit?: GroupNormSplit;
  readonly signal?: AbortSignal;
  readonly onRun?: (run: { threads: number; simulated: boolean; seconds: number }) => void;
}

export interface CoreUsage {
  /** The fastest of the rounds, for each number of threads in `measured`. */
  readonly measured: readonly RunUsage[];
  /** Of the shortest times of each task, for each number of threads in `simulated`. */
  readonly simulated: readonly RunUsage[];
  /** The tasks of a run on the first number of threads in `simulated`. */
  readonly tasks: number;
}

interface Staffing {
  readonly threads: number;
  readonly simulated: boolean;
}

/**
 * How well a graph's work fills the cores, on this machine and on more threads than it has cores. Those
 * are simulated: kernels plan for T threads, one thread does the work of all, task by task, and the
 * durations are then given to T threads as the pool would give the tasks. What threads do to each other
 * through memory bandwidth, shared caches, clock speed and waiting at the end of a loop is left out.
 */
export async function measureCoreUsage(
  graph: Graph,
  weights: WeightSource,
  options: CoreUsageOptions,
): Promise<CoreUsage> {
  const { passes, groupNormSplit, signal } = options;
  const compile = (from: Graph, passes: readonly Pass[], { threads, simulated }: Staffing) =>
    nativeBackend.compile(from, weights, {
      passes,
      threads,
      simulateThreads: simulated,
      groupNormSplit,
    });
  // The most threads need the most memory, which then is there for all, and so are packed weights.
  const most = Math.max(...options.measured, ...options.simulated);
  const largest = await compile(graph, passes, { threads: most, simulated: true });
  try {
    const ready = largest.program.graph;
    const inputs = syntheticInputs(ready);
    await largest.run(inputs, { signal });
    const run = async (staffing: Staffing) => {
      const executable = await compile(ready, [], staffing);
      try {
        return await recordRounds(executable, inputs, staffing, options);
      } finally {
        executable.dispose();
      }
    };
    const simulated: (readonly InstructionRecord[])[] = [];
    for (const threads of options.simulated) {
      simulated.push(shortestOf(await run({ threads, simulated: true })));
    }
    const measured: RunUsage[] = [];
    for (const threads of options.measured) {
      const rounds = await run({ threads, simulated: false });
      const usages = rounds.map((records) => runUsage(records, threads, measuredUsage));
      measured.push(usages.reduce((best, one) => (one.seconds < best.seconds ? one : best)));
    }
    return {
      measured,
      simulated: simulated.map((records, i) =>
        runUsage(records, options.simulated[i], simulatedUsage),
      ),
      tasks: countTasks(simulated[0] ?? []),
    };
  } finally {
    largest.dispose();
  }
}

async function recordRounds(
  executable: NativeExecutable,
  inputs: Readonly<Record<string, Tensor>>,
  { threads, simulated }: Staffing,
  { rounds, signal, onRun }: CoreUsageOptions,
): Promise<(readonly InstructionRecord[])[]> {
  const records: (readonly InstructionRecord[])[] = [];
  for (let round = 0; round < rounds; round++) {
    const { instructions } = await executable.record(inputs, { signal });
    records.push(instructions);
    const seconds = instructions.reduce((sum, one) => sum + one.seconds, 0);
    onRun?.({ threads, simulated, seconds });
  }
  return records;
}

function countTasks(records: readonly InstructionRecord[]): number {
  let tasks = 0;
  for (const { loops } of records) {
    for (const { taskSeconds } of loops) tasks += taskSeconds.length;
  }
  return tasks;
}
