import { availableParallelism } from 'node:os';
import { env } from 'node:process';
import { BookendError } from '../../core/errors.ts';
import type { IsaInfo, IsaName } from './addon.ts';
import { callAddon } from './loader.ts';

const MOST_THREADS = 256;

/** Every instruction set there are kernels for, from least to most preferred. */
export function instructionSets(): readonly IsaInfo[] {
  return callAddon((addon) => addon.isas());
}

/**
 * The instruction set to run: `requested`, else BOOKEND_ISA, else the best this machine offers.
 * `amx` may be asked for where only `avx512_vnni_bf16` is there; its tiles are then emulated, slowly.
 *
 * @throws BookendError `invalid-argument` for an unknown name, `unsupported`, with the reason, for a
 * set that this machine lacks
 */
export function resolveIsa(requested: string | undefined = env.BOOKEND_ISA || undefined): IsaName {
  const isas = instructionSets();
  const offered = isas.filter((isa) => isa.missing === null);
  const best = offered[offered.length - 1].name;
  if (requested === undefined) return best;
  const found = isas.find((isa) => isa.name === requested);
  if (!found) {
    throw new BookendError(
      'invalid-argument',
      `"${requested}" is no instruction set; use ${isas.map((isa) => isa.name).join(', ')}.`,
    );
  }
  const emulated = found.name === 'amx' && offered.some((isa) => isa.name === 'avx512_vnni_bf16');
  if (found.missing !== null && !emulated) {
    throw new BookendError(
      'unsupported',
      `Kernels for ${found.name} cannot run here: ${found.missing}; use ${best}.`,
    );
  }
  return found.name;
}

/**
 * How many threads to run on: `requested`, else BOOKEND_THREADS, else one for each core.
 *
 * @throws BookendError `invalid-argument` unless it is a whole number from 1 to 256
 */
export function resolveThreads(
  requested: number | string | undefined = env.BOOKEND_THREADS || undefined,
): number {
  const threads = Number(requested ?? Math.min(availableParallelism(), MOST_THREADS));
  if (!Number.isInteger(threads) || threads < 1 || threads > MOST_THREADS) {
    throw new BookendError(
      'invalid-argument',
      `The number of threads is ${requested}; use a whole number from 1 to ${MOST_THREADS}.`,
    );
  }
  return threads;
}
