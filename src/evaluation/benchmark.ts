import { tensor } from '../core/tensor.ts';
import type { Graph } from '../ir/graph.ts';
import type { InferencePrecision } from '../passes/index.ts';
import type { WeightSource } from '../runtime/backend.ts';
import type { IsaName } from '../runtime/native/addon.ts';
import { measureCeiling } from '../runtime/native/ceiling.ts';
import { resolveIsa, resolveThreads } from '../runtime/native/cpu.ts';
import { nativeBackend } from '../runtime/native/native-backend.ts';
import type { InstructionProfile, NativeExecutable } from '../runtime/native/native-executable.ts';

export interface BenchmarkOptions {
  readonly precision: InferencePrecision;
  readonly threads?: number;
  /** Runs that count; one more comes first and does not. */
  readonly rounds: number;
  readonly signal?: AbortSignal;
  readonly onRound?: (round: number, seconds: number) => void;
}

/** One kind of work: all instructions of the same op, summed over a run. */
export interface OpTime {
  readonly op: string;
  readonly kernel: string;
  readonly count: number;
  /** Median over the rounds. */
  readonly seconds: number;
  readonly flops: number;
  /** FLOP/s over the ceiling; 0 for work without matrix products. */
  readonly fractionOfCeiling: number;
}

export interface GraphBenchmark {
  readonly ceiling: number;
  /** Median of the rounds. */
  readonly seconds: number;
  readonly flops: number;
  /** Median over the rounds of (FLOPs ÷ that round's ceiling) ÷ that round's seconds. */
  readonly fractionOfCeiling: number;
  readonly rounds: readonly { readonly ceiling: number; readonly seconds: number }[];
  readonly roundsDropped: number;
  readonly ops: readonly OpTime[];
  readonly program: string;
}

/** A probe below this share of the best one met a busy machine; its round is dropped. */
const STEADY = 0.93;
const PROBE_SECONDS = 0.15;

interface Round {
  readonly ceiling: number;
  readonly seconds: number;
  readonly instructions: readonly InstructionProfile[];
}

/**
 * Times a graph against what the CPU could do at best. A probe of the ceiling runs before and after
 * every round, so that a machine that slows down slows both sides of the ratio.
 */
export async function benchmarkGraph(
  graph: Graph,
  weights: WeightSource,
  options: BenchmarkOptions,
): Promise<GraphBenchmark> {
  const precision = options.precision;
  const isa = resolveIsa();
  const threads = resolveThreads(options.threads);
  const executable = await nativeBackend.compile(graph, weights, { precision, isa, threads });
  try {
    const rounds = await measure(executable, graph, { ...options, isa, threads });
    return summarize(executable, rounds);
  } finally {
    executable.dispose();
  }
}

async function measure(
  executable: NativeExecutable,
  graph: Graph,
  options: BenchmarkOptions & { readonly isa: IsaName; readonly threads: number },
): Promise<Round[]> {
  const { precision, isa, threads, signal } = options;
  const probe = () => measureCeiling(precision, { isa, threads, seconds: PROBE_SECONDS });
  const inputs = syntheticInputs(graph);
  await executable.run(inputs, { signal });
  const rounds: Round[] = [];
  let before = await probe();
  for (let round = 0; round < options.rounds; round++) {
    const start = performance.now();
    const { instructions } = await executable.profile(inputs, { signal });
    const seconds = (performance.now() - start) / 1000;
    const after = await probe();
    rounds.push({ ceiling: (before + after) / 2, seconds, instructions });
    before = after;
    options.onRound?.(round, seconds);
  }
  return rounds;
}

/** Smooth numbers of about unit size; token ids count up. */
export function syntheticInputs(graph: Graph) {
  return Object.fromEntries(
    Object.entries(graph.inputs).map(([name, { dtype, shape }]) => {
      const length = shape.reduce((product, extent) => product * extent, 1);
      const data =
        dtype === 's32'
          ? Int32Array.from({ length }, (_, i) => i % 77)
          : Float32Array.from({ length }, (_, i) => Math.sin(0.7 * i));
      if (name === 'timestep') data.fill(500);
      return [name, tensor(dtype, shape, data)];
    }),
  );
}

function summarize(executable: NativeExecutable, rounds: readonly Round[]): GraphBenchmark {
  const best = Math.max(...rounds.map((round) => round.ceiling));
  const steady = rounds.filter((round) => round.ceiling >= STEADY * best);
  const flops = executable.info.instructions.reduce((sum, { flops }) => sum + flops, 0);
  const ceiling = median(steady.map((round) => round.ceiling));
  return {
    ceiling,
    seconds: median(steady.map((round) => round.seconds)),
    flops,
    fractionOfCeiling: median(steady.map((round) => flops / round.ceiling / round.seconds)),
    rounds: rounds.map(({ ceiling, seconds }) => ({ ceiling, seconds })),
    roundsDropped: rounds.length - steady.length,
    ops: opTimes(steady, ceiling),
    program: executable.toString(),
  };
}

/** Grouped by op and kernel, costliest first. */
function opTimes(rounds: readonly Round[], ceiling: number): OpTime[] {
  const groups = new Map<string, number[]>();
  rounds[0].instructions.forEach(({ op, kernel }, i) => {
    const key = `${op}\n${kernel.name}`;
    groups.set(key, [...(groups.get(key) ?? []), i]);
  });
  const times = [...groups].map(([key, members]) => {
    const [op, kernel] = key.split('\n');
    const sum = (of: (instruction: InstructionProfile) => number, round: Round) =>
      members.reduce((total, i) => total + of(round.instructions[i]), 0);
    const seconds = median(rounds.map((round) => sum((one) => one.seconds, round)));
    const flops = sum((one) => one.flops, rounds[0]);
    const fractionOfCeiling = flops / seconds / ceiling;
    return { op, kernel, count: members.length, seconds, flops, fractionOfCeiling };
  });
  return times.sort((a, b) => b.seconds - a.seconds);
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
