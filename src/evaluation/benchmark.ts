import type { Instruction } from '../compiler/instructions.ts';
import type { DType } from '../core/dtype.ts';
import { castTensor, type Tensor, tensor } from '../core/tensor.ts';
import type { Graph } from '../ir/graph.ts';
import type { Pass } from '../passes/index.ts';
import type { WeightSource } from '../runtime/backend.ts';
import type { IsaName } from '../runtime/native/addon.ts';
import { type CeilingType, measureCeiling } from '../runtime/native/ceiling.ts';
import { resolveIsa, resolveThreads } from '../runtime/native/cpu.ts';
import { nativeBackend } from '../runtime/native/native-backend.ts';
import type {
  InstructionInfo,
  InstructionProfile,
  NativeExecutable,
} from '../runtime/native/native-executable.ts';

export interface BenchmarkOptions {
  /** What makes the graph ready to run, and decides what it computes in. */
  readonly passes: readonly Pass[];
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
  /** What its matrix products multiply; undefined where there are none. */
  readonly type: CeilingType | undefined;
  /** FLOP/s over the ceiling of `type`; 0 for work without matrix products. */
  readonly fractionOfCeiling: number;
}

/** FLOP/s that the CPU reaches at best, for each kind of product that a program has. */
export type ProbedCeilings = Partial<Readonly<Record<CeilingType, number>>>;

export interface GraphBenchmark {
  /** Medians of the probes beside the rounds. */
  readonly ceilings: ProbedCeilings;
  /** Median of the rounds. */
  readonly seconds: number;
  readonly flops: number;
  /**
   * Median over the rounds of floor ÷ seconds. The floor is the sum of all products' FLOPs, each
   * over that round's ceiling of its own type.
   */
  readonly fractionOfCeiling: number;
  readonly rounds: readonly { readonly ceilings: ProbedCeilings; readonly seconds: number }[];
  readonly roundsDropped: number;
  readonly ops: readonly OpTime[];
  readonly program: string;
}

/** FLOPs of the matrix products, by what they multiply. */
export type ProductFlops = Partial<Readonly<Record<CeilingType, number>>>;

/** A probe below this share of the best one met a busy machine; its round is dropped. */
const STEADY = 0.93;
const PROBE_SECONDS = 0.15;

interface Round {
  readonly ceilings: ProbedCeilings;
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
  const { passes } = options;
  const isa = resolveIsa();
  const threads = resolveThreads(options.threads);
  const executable = await nativeBackend.compile(graph, weights, { passes, isa, threads });
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
  const { isa, threads, signal } = options;
  const products = productFlops(executable.program.instructions);
  const probe = () => probeCeilings(products, { isa, threads });
  const inputs = syntheticInputs(graph);
  await executable.run(inputs, { signal });
  const rounds: Round[] = [];
  let before = await probe();
  for (let round = 0; round < options.rounds; round++) {
    const start = performance.now();
    const { instructions } = await executable.profile(inputs, { signal });
    const seconds = (performance.now() - start) / 1000;
    const after = await probe();
    rounds.push({ ceilings: between(before, after), seconds, instructions });
    before = after;
    options.onRound?.(round, seconds);
  }
  return rounds;
}

/** The ceiling of every kind of product in `products`. */
export async function probeCeilings(
  products: ProductFlops,
  options: { readonly isa: IsaName; readonly threads: number },
): Promise<ProbedCeilings> {
  const ceilings: Partial<Record<CeilingType, number>> = {};
  for (const type of Object.keys(products) as CeilingType[]) {
    ceilings[type] = await measureCeiling(type, { ...options, seconds: PROBE_SECONDS });
  }
  return ceilings;
}

/** What the matrix products of an instruction multiply. */
function productType({ flops, fields }: Instruction): CeilingType | undefined {
  if (flops === 0) return undefined;
  const dtype = 'input' in fields ? fields.input : 'type' in fields ? fields.type : undefined;
  return isCeilingType(dtype) ? dtype : undefined;
}

function isCeilingType(dtype: DType | undefined): dtype is CeilingType {
  return dtype === 'f32' || dtype === 'bf16' || dtype === 'u8';
}

/** The mean of two probes. */
export function between(before: ProbedCeilings, after: ProbedCeilings): ProbedCeilings {
  return mapCeilings(before, (type, value) => (value + after[type]!) / 2);
}

export function mapCeilings(
  ceilings: ProbedCeilings,
  change: (type: CeilingType, value: number) => number,
): ProbedCeilings {
  const entries = Object.entries(ceilings) as [CeilingType, number][];
  return Object.fromEntries(entries.map(([type, value]) => [type, change(type, value)]));
}

/** Smooth numbers of about unit size; token ids count up. */
export function syntheticInputs(graph: Graph): Record<string, Tensor> {
  return Object.fromEntries(
    Object.entries(graph.inputs).map(([name, { dtype, shape }]) => {
      const length = shape.reduce((product, extent) => product * extent, 1);
      const data =
        dtype === 's32'
          ? Int32Array.from({ length }, (_, i) => i % 77)
          : Float32Array.from({ length }, (_, i) => Math.sin(0.7 * i));
      if (name === 'timestep') data.fill(500);
      const numbers = tensor(dtype === 's32' ? 's32' : 'f32', shape, data);
      return [name, castTensor(numbers, dtype)];
    }),
  );
}

function summarize(executable: NativeExecutable, rounds: readonly Round[]): GraphBenchmark {
  const { instructions } = executable.program;
  const steady = rounds.filter((round) => isSteady(round, rounds));
  const flops = instructions.reduce((sum, { flops }) => sum + flops, 0);
  const products = productFlops(instructions);
  const ceilings = mapCeilings(rounds[0].ceilings, (type) =>
    median(steady.map((round) => round.ceilings[type]!)),
  );
  return {
    ceilings,
    seconds: median(steady.map((round) => round.seconds)),
    flops,
    fractionOfCeiling: median(
      steady.map(({ ceilings, seconds }) => floorOf(products, ceilings) / seconds),
    ),
    rounds: rounds.map(({ ceilings, seconds }) => ({ ceilings, seconds })),
    roundsDropped: rounds.length - steady.length,
    ops: opTimes(steady, instructions, ceilings),
    program: executable.toString(),
  };
}

/** Whether every probe of the round is near the best of its type. */
export function isSteady(
  { ceilings }: { readonly ceilings: ProbedCeilings },
  rounds: readonly { readonly ceilings: ProbedCeilings }[],
): boolean {
  return Object.entries(ceilings).every(([type, value]) => {
    const best = Math.max(...rounds.map((round) => round.ceilings[type as CeilingType]!));
    return value >= STEADY * best;
  });
}

/** What a run of the program multiplies. */
export function productFlops(instructions: readonly Instruction[]): ProductFlops {
  const flops: Partial<Record<CeilingType, number>> = {};
  for (const instruction of instructions) {
    const type = productType(instruction);
    if (type) flops[type] = (flops[type] ?? 0) + instruction.flops;
  }
  return flops;
}

/** Seconds that the products would take at the ceilings. */
export function floorOf(flops: ProductFlops, ceilings: ProbedCeilings): number {
  const seconds = Object.entries(flops).map(
    ([type, count]) => count / ceilings[type as CeilingType]!,
  );
  return seconds.reduce((sum, one) => sum + one, 0);
}

/** Grouped by op and kernel, costliest first. */
export function opTimes(
  rounds: readonly Pick<Round, 'instructions'>[],
  instructions: readonly Instruction[],
  ceilings: ProbedCeilings,
): OpTime[] {
  const times = byKernel(rounds[0].instructions).map(({ op, kernel, members }) => {
    const sum = (
      of: (instruction: InstructionProfile) => number,
      round: Pick<Round, 'instructions'>,
    ) => members.reduce((total, i) => total + of(round.instructions[i]), 0);
    const seconds = median(rounds.map((round) => sum((one) => one.seconds, round)));
    const flops = sum((one) => one.flops, rounds[0]);
    const type = productType(instructions[members[0]]);
    const fractionOfCeiling = type ? flops / seconds / ceilings[type]! : 0;
    return { op, kernel, count: members.length, seconds, flops, type, fractionOfCeiling };
  });
  return times.sort((a, b) => b.seconds - a.seconds);
}

/** Instructions of the same op and kernel, by their places in `instructions`. */
export function byKernel(
  instructions: readonly Pick<InstructionInfo, 'op' | 'kernel'>[],
): { readonly op: string; readonly kernel: string; readonly members: readonly number[] }[] {
  const groups = new Map<string, { op: string; kernel: string; members: number[] }>();
  for (const [i, { op, kernel }] of instructions.entries()) {
    const key = `${op} ${kernel.name}`;
    const group = groups.get(key) ?? { op, kernel: kernel.name, members: [] };
    group.members.push(i);
    groups.set(key, group);
  }
  return [...groups.values()];
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
