import { type CompileOptions, compile } from '../../compiler/compile.ts';
import type { Instruction, Place, Weight } from '../../compiler/instructions.ts';
import { arenaOffset, type Program } from '../../compiler/program.ts';
import type { Graph } from '../../ir/graph.ts';
import type { Backend, WeightSource } from '../backend.ts';
import { checkWeights } from '../check-tensors.ts';
import type { IsaName, NativeOperand, NativeProgramDescription, WeightBuffer } from './addon.ts';
import { resolveIsa, resolveThreads } from './cpu.ts';
import { InPlace, type InPlaceArrays } from './in-place.ts';
import { callAddon } from './loader.ts';
import { checkMemory } from './memory.ts';
import { NativeExecutable } from './native-executable.ts';
import {
  type ResolvedWeight,
  resolveWeight,
  type WeightStore,
  weightStoreOf,
} from './weight-store.ts';

export interface NativeOptions extends CompileOptions {
  /** Default: BOOKEND_ISA, else the best this machine offers. */
  readonly isa?: IsaName;
  /** Default: BOOKEND_THREADS, else one for each core. */
  readonly threads?: number;
  /**
   * Plans for `threads` threads, and one does the work of all of them, one after the other: what each
   * would have to do can then be measured on a machine of fewer cores.
   */
  readonly simulateThreads?: boolean;
  readonly inPlace?: InPlaceArrays;
}

export interface NativeBackend extends Backend<NativeOptions> {
  compile(graph: Graph, weights: WeightSource, options?: NativeOptions): Promise<NativeExecutable>;
}

/**
 * Runs graphs on native kernels, off the event loop. Weights are packed once for each source and
 * kernel, and shared; all executables share one arena and run one after the other.
 */
export const nativeBackend: NativeBackend = {
  name: 'native',
  async compile(graph, weights, options = {}) {
    const isa = resolveIsa(options.isa);
    const threads = resolveThreads(options.threads);
    const inPlace = new InPlace(graph, options.inPlace);
    const program = compile(graph, options);
    inPlace.requireIn(program.graph);
    // Passes may have put other parameters in place of the graph's.
    checkWeights(program.graph, weights, inPlace.parameters);
    const resolved = resolveWeights(program, isa);
    const byKey = new Map([...resolved.values()].map((weight) => [weight.key, weight]));
    const weightBytes = totalBytes(byKey.values());
    checkMemory(graph.name, program.memory.arenaBytes + weightBytes + inPlace.size);
    const store = weightStoreOf(weights);
    const release = () => {
      for (const key of byKey.keys()) store.release(key);
    };
    try {
      const buffers = await loadWeights(store, byKey, isa);
      const operand = (place: Place): NativeOperand => {
        if ('weight' in place) return { buffer: buffers.get(resolved.get(place.weight)!.key)! };
        const { array } = place.storage;
        if (!array) return { arena: arenaOffset(program.memory, place)! };
        const { buffer, offset } = inPlace.place(array);
        return { buffer, offset: offset + place.byteOffset };
      };
      const { simulateThreads } = options;
      const description = describe(program, { isa, threads, simulateThreads }, operand);
      const native = callAddon((addon) => addon.createProgram(description));
      return new NativeExecutable(program, native, { isa, threads }, release);
    } catch (error) {
      release();
      throw error;
    }
  },
};

function resolveWeights(program: Program, isa: IsaName): ReadonlyMap<Weight, ResolvedWeight> {
  const resolved = new Map<Weight, ResolvedWeight>();
  for (const { operands } of program.instructions) {
    for (const place of Object.values(operands)) {
      if ('weight' in place) resolved.set(place.weight, resolveWeight(place.weight, isa));
    }
  }
  return resolved;
}

function totalBytes(weights: Iterable<ResolvedWeight>): number {
  let total = 0;
  for (const { bytes } of weights) total += bytes;
  return total;
}

/** Buffers by key. Every key has then been acquired, also when a load fails. */
async function loadWeights(
  store: WeightStore,
  weights: ReadonlyMap<string, ResolvedWeight>,
  isa: IsaName,
): Promise<ReadonlyMap<string, WeightBuffer>> {
  const buffers = new Map<string, WeightBuffer>();
  const loads = [...weights.values()].map(async (weight) => {
    buffers.set(weight.key, await store.acquire(weight, isa));
  });
  const results = await Promise.allSettled(loads);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
  return buffers;
}

function describe(
  program: Program,
  target: Pick<NativeProgramDescription, 'isa' | 'threads' | 'simulateThreads'>,
  operand: (place: Place) => NativeOperand,
): NativeProgramDescription {
  const instruction = ({ op, fields, operands }: Instruction) => ({
    op,
    ...fields,
    ...Object.fromEntries(Object.entries(operands).map(([name, p]) => [name, operand(p)])),
  });
  const range = ({ offset, bytes }: { offset: number; bytes: number }) => ({
    arena: offset,
    bytes,
  });
  return {
    ...target,
    arenaBytes: program.memory.arenaBytes,
    instructions: program.instructions.map(instruction),
    inputs: program.inputs.map(range),
    outputs: program.outputs.map(range),
  };
}
