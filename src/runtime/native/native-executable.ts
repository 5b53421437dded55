import type { NativeOp } from '../../compiler/instructions.ts';
import { type Port, type Program, printProgram } from '../../compiler/program.ts';
import { viewAs } from '../../core/dtype.ts';
import { BookendError, throwIfAborted } from '../../core/errors.ts';
import { elementCount } from '../../core/shape.ts';
import type { Tensor } from '../../core/tensor.ts';
import type { Executable, RunOptions } from '../backend.ts';
import { checkInputs } from '../check-tensors.ts';
import type { IsaName, KernelInfo, NativeArena, NativeProgram } from './addon.ts';
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
    return (await this.#run(inputs, false, signal)).outputs;
  }

  /** A run with the time that each instruction took. */
  async profile(inputs: Inputs, { signal }: RunOptions = {}): Promise<Profile> {
    const { outputs, seconds } = await this.#run(inputs, true, signal);
    const instructions = this.info.instructions.map((info, i) => ({
      ...info,
      seconds: seconds[i],
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

  async #run(inputs: Inputs, profile: boolean, signal: AbortSignal | undefined) {
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
    const run = callAddon((addon) => addon.run(this.#native, this.#arena, data, profile));
    const abort = () => run.abort();
    signal?.addEventListener('abort', abort, { once: true });
    try {
      const { outputs, seconds = [] } = await run.promise;
      const entries = this.program.outputs.map((p, i) => [p.name, asTensor(p, outputs[i])]);
      return { outputs: Object.fromEntries(entries) as Record<string, Tensor>, seconds };
    } catch (error) {
      throwIfAborted(signal);
      throw asBookendError(error);
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }
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
