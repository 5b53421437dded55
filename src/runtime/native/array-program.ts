import type { NativeOperand } from './addon.ts';
import { acquireArena, releaseArena } from './arena.ts';
import { resolveIsa, resolveThreads } from './cpu.ts';
import { callAddon } from './loader.ts';
import { asBookendError } from './native-errors.ts';

/** Work on shared arrays that is no graph: an optimizer's. */
export interface ArrayProgram {
  /** Fields and operands of each side by side, as the addon takes them, with its op. */
  readonly instructions: readonly Readonly<Record<string, unknown>>[];
  /** At most 64 numbers, which lie at CONSTANTS. */
  readonly constants?: Float32Array;
  /** What `resultAt` places; at most 2^30. */
  readonly resultBytes?: number;
  /** Default: BOOKEND_THREADS, else one for each core. */
  readonly threads?: number;
}

const CONSTANT_BYTES = 256;

/** Where instructions read the constants of a run. */
export const CONSTANTS: NativeOperand = { arena: 0 };

/** Where an instruction writes the result that lies `byteOffset` bytes into those of a run. */
export function resultAt(byteOffset: number): NativeOperand {
  return { arena: CONSTANT_BYTES + byteOffset };
}

/**
 * Runs instructions one after the other, off the event loop, after all runs asked for before.
 *
 * @returns the results
 * @throws BookendError `insufficient-memory`; `native` for instructions that are not sound
 */
export async function runOnArrays(program: ArrayProgram): Promise<ArrayBuffer> {
  const { instructions, constants = new Float32Array(0), resultBytes = 0 } = program;
  const native = callAddon((addon) =>
    addon.createProgram({
      isa: resolveIsa(),
      threads: resolveThreads(program.threads),
      arenaBytes: CONSTANT_BYTES + resultBytes,
      instructions,
      inputs: [{ arena: 0, bytes: constants.byteLength }],
      outputs: [{ arena: CONSTANT_BYTES, bytes: resultBytes }],
    }),
  );
  const arena = acquireArena();
  try {
    const run = callAddon((addon) => addon.run(native, arena, [constants], 'nothing'));
    return (await run.promise).outputs[0];
  } catch (error) {
    throw asBookendError(error);
  } finally {
    callAddon((addon) => addon.releaseProgram(native));
    releaseArena();
  }
}
