import { throwIfAborted } from '../../core/errors.ts';
import {
  between,
  floorOf,
  isSteady,
  mapCeilings,
  median,
  type OpTime,
  opTimes,
  type ProbedCeilings,
  type ProductFlops,
  probeCeilings,
  productFlops,
} from '../../evaluation/benchmark.ts';
import type { Graph } from '../../ir/graph.ts';
import type { Executable, WeightSource } from '../../runtime/backend.ts';
import { resolveIsa, resolveThreads } from '../../runtime/native/cpu.ts';
import { nativeBackend } from '../../runtime/native/native-backend.ts';
import type {
  InstructionProfile,
  NativeExecutable,
} from '../../runtime/native/native-executable.ts';
import { adamWOptions, adamWStep, createAdamWState } from '../../training/adamw.ts';
import { createEmaState, emaOptions } from '../../training/ema.ts';
import { clippingFactor, gradientNorm } from '../../training/gradient-clipping.ts';
import { copyRate } from './copy-rate.ts';
import { quantizedStudent } from './quantized-student.ts';
import { syntheticBatches, syntheticStart } from './synthetic-training.ts';
import { createUNetTask, type UNetTask } from './unet-task.ts';

export interface TrainingBenchmarkOptions {
  /** What the student's products are computed in; the teacher's in bf16. */
  readonly precision: 'fp32' | 'bf16';
  readonly threads?: number;
  /** Steps that count; one more comes first and does not. */
  readonly rounds: number;
  readonly signal?: AbortSignal;
  readonly onRound?: (round: number, seconds: number) => void;
}

export const TRAINING_PARTS = ['teacher', 'student', 'norm', 'update'] as const;
export type TrainingPart = (typeof TRAINING_PARTS)[number];

export interface TrainingBenchmark {
  /** Medians of the probes beside the rounds. */
  readonly ceilings: ProbedCeilings;
  /** Median of the rounds: a whole step. */
  readonly seconds: number;
  /** Medians: the original U-Net, the fake-quantized one forth and back, the norm of its gradients,
   * and AdamW with the moving average. */
  readonly parts: Readonly<Record<TrainingPart, number>>;
  readonly flops: number;
  /** Median over the rounds of floor ÷ seconds, the floor being all products at their ceilings. */
  readonly fractionOfCeiling: number;
  readonly rounds: readonly Pick<Round, 'ceilings' | 'seconds'>[];
  readonly roundsDropped: number;
  readonly ops: Readonly<Record<'teacher' | 'student', readonly OpTime[]>>;
  /** Numbers that are trained. */
  readonly parameters: number;
  /** Of parameter, moments and average read and written, and the gradient read: bytes per second. */
  readonly updateRate: number;
  /** The same of a loop that adds arrays to others. */
  readonly copyRate: number;
}

interface Round {
  readonly ceilings: ProbedCeilings;
  readonly seconds: number;
  readonly parts: Readonly<Record<TrainingPart, number>>;
  readonly instructions: Readonly<Record<'teacher' | 'student', readonly InstructionProfile[]>>;
}

/**
 * Times steps of quantization-aware training against what the CPU could do at best: the original U-Net
 * in bf16, its fake-quantized copy forth and back with both terms of the loss and scales that
 * stay, clipping, AdamW and the moving average. Scales are those of nothing in particular: what a
 * step costs does not depend on them.
 *
 * @param network as it is built, of the size of a batch
 * @throws BookendError as compiling and running do
 */
export async function benchmarkTraining(
  network: Graph,
  weights: WeightSource,
  options: TrainingBenchmarkOptions,
): Promise<TrainingBenchmark> {
  const threads = resolveThreads(options.threads);
  const compiling = { precision: 'bf16', threads } as const;
  const { signal } = options;
  const teacher = new Profiled(await nativeBackend.compile(network, weights, compiling), signal);
  try {
    const start = syntheticStart(network);
    const learning = { kind: 'held' } as const;
    const student = await quantizedStudent(network, weights, start, learning, { steps: 1 });
    const profiled: Profiled[] = [];
    const task = await createUNetTask(student, teacher, syntheticBatches(network), {
      precision: options.precision,
      distillation: 1,
      weighted: false,
      threads,
      observe: (executable) => {
        profiled.push(new Profiled(executable, signal));
        return profiled[0];
      },
    });
    try {
      const networks = { teacher, student: profiled[0] };
      const rounds = await measure(task, networks, { ...options, threads });
      return { ...summarize(networks, rounds, task), copyRate: await copyRate(threads) };
    } finally {
      task.dispose();
    }
  } finally {
    teacher.dispose();
  }
}

/** Runs a network and keeps what each of its instructions took. */
class Profiled implements Executable {
  readonly network: NativeExecutable;
  instructions: readonly InstructionProfile[] = [];
  seconds = 0;
  readonly #signal: AbortSignal | undefined;

  constructor(network: NativeExecutable, signal: AbortSignal | undefined) {
    this.network = network;
    this.#signal = signal;
  }

  async run(inputs: Parameters<NativeExecutable['profile']>[0]) {
    const begin = performance.now();
    const { outputs, instructions } = await this.network.profile(inputs, { signal: this.#signal });
    this.seconds = (performance.now() - begin) / 1000;
    this.instructions = instructions;
    return outputs;
  }

  dispose(): void {
    this.network.dispose();
  }
}

type Networks = Readonly<Record<'teacher' | 'student', Profiled>>;

async function measure(
  task: UNetTask,
  networks: Networks,
  options: TrainingBenchmarkOptions & { readonly threads: number },
): Promise<Round[]> {
  const { threads, signal } = options;
  const { parameters, gradients } = task;
  const adamW = createAdamWState(parameters);
  const average = { state: createEmaState(parameters), options: emaOptions() };
  const products = allProducts(networks);
  const probe = () => probeCeilings(products, { isa: resolveIsa(), threads });
  const step = async () => {
    throwIfAborted(signal);
    const watch = laps();
    await task.computeGradients(adamW.step);
    watch();
    const norm = await gradientNorm(gradients, threads);
    const afterNorm = watch();
    const gradientFactor = clippingFactor(norm, 1);
    const extras = { gradientFactor, average, threads };
    await adamWStep(parameters, gradients, adamW, 1e-5, adamWOptions(), extras);
    task.project();
    return { norm: afterNorm, update: watch() };
  };
  await step();
  const rounds: Round[] = [];
  let before = await probe();
  for (let round = 0; round < options.rounds; round++) {
    const watch = laps();
    const optimizer = await step();
    const seconds = watch();
    const after = await probe();
    const { teacher, student } = networks;
    rounds.push({
      ceilings: between(before, after),
      seconds,
      parts: { teacher: teacher.seconds, student: student.seconds, ...optimizer },
      instructions: { teacher: teacher.instructions, student: student.instructions },
    });
    before = after;
    options.onRound?.(round, seconds);
  }
  return rounds;
}

/** Seconds since the last call, or since this one. */
function laps(): () => number {
  let last = performance.now();
  return () => {
    const seconds = (performance.now() - last) / 1000;
    last = performance.now();
    return seconds;
  };
}

function allProducts({ teacher, student }: Networks): ProductFlops {
  return productFlops([teacher, student].flatMap(({ network }) => network.program.instructions));
}

/** AdamW's reads of parameter, gradient, two moments and average, and its writes of all but one. */
const UPDATE_BYTES = 9 * Float32Array.BYTES_PER_ELEMENT;

function summarize(
  networks: Networks,
  rounds: readonly Round[],
  task: UNetTask,
): Omit<TrainingBenchmark, 'copyRate'> {
  const undisturbed = rounds.filter((round) => isSteady(round, rounds));
  // With two kinds of products no round may be near the best probe of both.
  const steady = undisturbed.length > 0 ? undisturbed : rounds;
  const products = allProducts(networks);
  const ceilings = mapCeilings(rounds[0].ceilings, (type) =>
    median(steady.map((round) => round.ceilings[type]!)),
  );
  const medianOf = (part: TrainingPart) => median(steady.map(({ parts }) => parts[part]));
  const opsOf = (name: keyof Networks) =>
    opTimes(
      steady.map(({ instructions }) => ({ instructions: instructions[name] })),
      networks[name].network.program.instructions,
      ceilings,
    );
  const parameters = [...task.parameters.values()].reduce((sum, { length }) => sum + length, 0);
  return {
    ceilings,
    seconds: median(steady.map(({ seconds }) => seconds)),
    parts: Object.fromEntries(TRAINING_PARTS.map((part) => [part, medianOf(part)])) as Record<
      TrainingPart,
      number
    >,
    flops: Object.values(products).reduce((sum, flops) => sum + flops, 0),
    fractionOfCeiling: median(
      steady.map(({ ceilings, seconds }) => floorOf(products, ceilings) / seconds),
    ),
    rounds: rounds.map(({ ceilings, seconds }) => ({ ceilings, seconds })),
    roundsDropped: rounds.length - steady.length,
    ops: { teacher: opsOf('teacher'), student: opsOf('student') },
    parameters,
    updateRate: (parameters * UPDATE_BYTES) / medianOf('update'),
  };
}
