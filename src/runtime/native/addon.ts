import type { Conv2dFields } from '../../compiler/instructions.ts';
import type { DType, TypedArray } from '../../core/dtype.ts';

/** Native objects that JavaScript only passes around. */
declare const kind: unique symbol;
export interface WeightBuffer {
  readonly [kind]: 'weights';
}
export interface NativeArena {
  readonly [kind]: 'arena';
}
export interface NativeProgram {
  readonly [kind]: 'program';
}

export type IsaName =
  | 'scalar'
  | 'avx2'
  | 'avx2_vnni'
  | 'avx512'
  | 'avx512_vnni'
  | 'avx512_vnni_bf16'
  | 'amx';

export interface IsaInfo {
  readonly name: IsaName;
  /** Why this machine cannot run it, or null when it can. */
  readonly missing: string | null;
}

/** Elements of a weight: in memory, or a region of a file. */
export type NativeSource =
  | { readonly dtype: DType; readonly data: TypedArray }
  | {
      readonly dtype: DType;
      readonly path: string;
      readonly byteOffset: number;
      readonly byteLength: number;
    };

export type NativeOperand =
  | { readonly arena: number }
  | { readonly buffer: WeightBuffer; readonly offset?: number };

export interface NativeRange {
  readonly arena: number;
  readonly bytes: number;
}

export interface NativeProgramDescription {
  readonly isa: IsaName;
  readonly threads: number;
  /** One thread does the work of all of them, one after the other. */
  readonly simulateThreads?: boolean;
  readonly arenaBytes: number;
  /** The fields and operands of each instruction side by side, and its op. */
  readonly instructions: readonly Readonly<Record<string, unknown>>[];
  readonly inputs: readonly NativeRange[];
  readonly outputs: readonly NativeRange[];
}

/** What a run takes down: times of instructions, or those and the times of their tasks. */
export type NativeMeasure = 'nothing' | 'instructions' | 'tasks';

/** The loops of a run in order: three arrays of loops, then two of the tasks of all of them. */
export interface NativeLog {
  /** Whose loop it is. */
  readonly instructions: Int32Array;
  readonly loopTasks: Int32Array;
  readonly loopSeconds: Float64Array;
  readonly taskSeconds: Float64Array;
  readonly taskWorkers: Int32Array;
  /** Of loops that would have been too much for the log: 2^22 tasks. */
  readonly tasksLeftOut: number;
}

export interface NativeRun {
  readonly promise: Promise<{ outputs: ArrayBuffer[]; seconds?: number[]; log?: NativeLog }>;
  /** Stops before the next instruction; the promise rejects. */
  abort(): void;
}

export interface KernelInfo {
  /** 'conv2d.avx512.f32' */
  readonly name: string;
  readonly isa: IsaName;
}

/**
 * What native/addon exports. It checks everything it is given: whatever is wrong becomes an Error
 * with a `code`, and nothing leads a kernel out of its operands.
 */
export interface NativeAddon {
  /** From least to most preferred. */
  isas(): IsaInfo[];
  planPacking(
    fields: Conv2dFields,
    isa: IsaName,
  ): { kernel: string; format: string; packedBytes: number };
  packWeights(fields: Conv2dFields, isa: IsaName, source: NativeSource): Promise<WeightBuffer>;
  loadVector(source: NativeSource, dtype: DType, count: number): Promise<WeightBuffer>;
  /** Zeroed memory that programs may write to, and the same memory as numbers. */
  createFloats(count: number): { buffer: WeightBuffer; array: Float32Array };
  /** Frees the buffer as soon as no program uses it. */
  releaseBuffer(buffer: WeightBuffer): void;
  createProgram(description: NativeProgramDescription): NativeProgram;
  describeProgram(program: NativeProgram): { kernels: KernelInfo[]; scratchBytes: number };
  releaseProgram(program: NativeProgram): void;
  createArena(): NativeArena;
  releaseArena(arena: NativeArena): void;
  /** FLOP/s of multiply-adds on registers alone, all threads together; off the event loop. */
  measureCeiling(
    isa: IsaName,
    dtype: 'f32' | 'bf16' | 'u8',
    threads: number,
    seconds: number,
  ): Promise<number>;
  /** Copies `inputs` at once, then runs after all runs asked for before. */
  run(
    program: NativeProgram,
    arena: NativeArena,
    inputs: readonly TypedArray[],
    measure: NativeMeasure,
  ): NativeRun;
}
