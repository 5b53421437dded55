import type { NativeOp } from '../../compiler/instructions.ts';
import { type Port, type Program, printProgram } from '../../compiler/program.ts';
import { viewAs } from '../../core/dtype.ts';
import { BookendError, throwIfAborted } from '../../core/errors.ts';
import { elementCount } from '../../core/shape.ts';
import type { Tensor } from '../../core/tensor.ts';
import type { Executable, RunOptions } from '../backend.ts';
import { checkInputs } from '../check-tensors.ts';
import type {
  IsaName,
  KernelInfo,
  NativeArena,
  NativeLog,
  NativeMeasure,
  NativeProgram,
} from './addon.ts';
import { acquireArena, releaseArena } from './arena.ts';
import { callAddon } from './loader.ts';
import { asBookendError } from './native-errors.ts';

/** One instruction, and the kernel that runs it. */
export interface InstructionInfo {
  readonly op: NativeOp;
  readonly kernel: KernelInfo;
  /** Prefix of the parameter paths of the layer it came from; '' outside all layers. */
  readonly scope: string;
  readonly flops: number;
}

export interface ExecutableInfo {
  readonly isa: IsaName;
  readonly threads: number;
  readonly instructions: readonly InstructionInfo[];
  /** Activations and the kernels' own scratch memory, shared with other executables. */
  readonly arenaBytes: number;
  readonly scratchBytes: number;
}

export interface InstructionProfile extends InstructionInfo {
  readonly seconds: number;
}

export interface Profile {
  readonly outputs: Record<string, Tensor>;
  readonly instructions: readonly InstructionProfile[];
}

/** A loop over tasks that an instruction ran on the pool of threads. */
export interface LoopRecord {
  /** From its start until all of its tasks were done. */
  readonly seconds: number;
  /** Of each task, in the order in which they are claimed. */
  readonly taskSeconds: Float64Array;
  /** Which thread ran it, from 0 on. */
  readonly taskWorkers: Int32Array;
}

/** What an instruction did in parallel; the rest of its time is one thread's. */
export interface InstructionRecord extends InstructionProfile {
  readonly loops: readonly LoopRecord[];
}

type Inputs = Readonly<Record<string, Tensor>>;

/** A Program with its weights, ready to run. Runs that are asked for at once queue up. */
export class NativeExecutable implements Executable {
  readonly program: Program;
  readonly info: ExecutableInfo;
  readonly #native: NativeProgram;
  readonly #arena: NativeArena;
  readonly #releaseWeights: () => void;
  #disposed = false;

  constructor(
    program: Program,
    native: NativeProgram,
    { isa, threads }: { isa: IsaName; threads: number },
    releaseWeights: () => void,
  ) {
    const { kernels, scratchBytes } = callAddon((addon) => addon.describeProgram(native));
    this.program = program;
    this.info = {
      isa,
      threads,
      instructions: program.instructions.map(({ op, node, flops }, i) => ({
        op,
        kernel: kernels[i],
        scope: node?.scope ?? '',
        flops,
      })),
      arenaBytes: program.memory.arenaBytes,
      scratchBytes,
    };
    this.#native = native;
    this.#arena = acquireArena();
    this.#releaseWeights = releaseWeights;
  }

  /**
   * @throws BookendError `invalid-argument` for inputs that do not fit, `aborted`,
   * `insufficient-memory`
   */
  async run(inputs: Inputs, { signal }: RunOptions = {}): Promise<Record<string, Tensor>> {
    return (await this.#run(inputs, 'nothing', signal)).outputs;
  }

  /** A run with the time that each instruction took. */
  async profile(inputs: Inputs, { signal }: RunOptions = {}): Promise<Profile> {
    const { outputs, seconds } = await this.#run(inputs, 'instructions', signal);
    const instructions = this.info.instructions.map((info, i) => ({
      ...info,
      seconds: seconds[i],
    }));
    return { outputs, instructions };
  }

  /**
   * A run with the time that each task of each instruction took.
   *
   * @throws BookendError `unsupported` for a run of more than 4 million tasks
   */
  async record(
    inputs: Inputs,
    { signal }: RunOptions = {},
  ): Promise<{ outputs: Profile['outputs']; instructions: readonly InstructionRecord[] }> {
    const { outputs, seconds, log } = await this.#run(inputs, 'tasks', signal);
    const loops = loopsOf(log!, this.program.name);
    const instructions = this.info.instructions.map((info, i) => ({
      ...info,
      seconds: seconds[i],
      loops: loops.get(i) ?? [],
    }));
    return { outputs, instructions };
  }

  /** Frees the weights that no other executable uses; runs already asked for still finish. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    callAddon((addon) => addon.releaseProgram(this.#native));
    releaseArena();
    this.#releaseWeights();
  }

  /** One line for each instruction. */
  toString(): string {
    return printProgram(this.program);
  }

  async #run(inputs: Inputs, measure: NativeMeasure, signal: AbortSignal | undefined) {
    if (this.#disposed) {
      throw new BookendError(
        'invalid-argument',
        `${this.program.name} was disposed of and cannot run; compile it again.`,
      );
    }
    throwIfAborted(signal);
    checkInputs(this.program.graph, inputs);
    for (const port of this.program.inputs) checkIds(port, inputs[port.name]);
    const data = this.program.inputs.map(({ name }) => inputs[name].data);
    const run = callAddon((addon) => addon.run(this.#native, this.#arena, data, measure));
    const abort = () => run.abort();
    signal?.addEventListener('abort', abort, { once: true });
    try {
      const { outputs, seconds = [], log } = await run.promise;
      const entries = this.program.outputs.map((p, i) => [p.name, asTensor(p, outputs[i])]);
      return { outputs: Object.fromEntries(entries) as Record<string, Tensor>, seconds, log };
    } catch (error) {
      throwIfAborted(signal);
      throw asBookendError(error);
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }
}

/** By instruction. */
function loopsOf(log: NativeLog, name: string): ReadonlyMap<number, LoopRecord[]> {
  const { instructions, loopTasks, loopSeconds, taskSeconds, taskWorkers, tasksLeftOut } = log;
  if (tasksLeftOut > 0) {
    throw new BookendError(
      'unsupported',
      `${name} runs ${taskSeconds.length + tasksLeftOut} tasks, and 4194304 can be recorded; use a smaller image or batch.`,
    );
  }
  const loops = new Map<number, LoopRecord[]>();
  let begin = 0;
  for (const [i, instruction] of instructions.entries()) {
    const end = begin + loopTasks[i];
    const loop = {
      seconds: loopSeconds[i],
      taskSeconds: taskSeconds.subarray(begin, end),
      taskWorkers: taskWorkers.subarray(begin, end),
    };
    loops.set(instruction, [...(loops.get(instruction) ?? []), loop]);
    begin = end;
  }
  return loops;
}

function asTensor({ dtype, shape }: Port, buffer: ArrayBuffer): Tensor {
  return { dtype, shape, data: viewAs(dtype, buffer, 0, elementCount(shape)) };
}

/** Numbers that pick rows of a table must name rows that it has. */
function checkIds({ name, idLimit }: Port, { data }: Tensor): void {
  if (idLimit === undefined) return;
  const outside = data.find((id) => id < 0 || id >= idLimit);
  if (outside === undefined) return;
  throw new BookendError(
    'invalid-argument',
    `Input ${name} holds ${outside}; every number must be from 0 to ${idLimit - 1}, a row of the table it picks from.`,
  );
}
