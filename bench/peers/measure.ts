import { setTimeout as sleep } from 'node:timers/promises';
import { BookendError } from '../../src/core/errors.ts';
import { between, type ProductFlops, probeCeilings } from '../../src/evaluation/benchmark.ts';
import type { Precision } from '../../src/quantization/precision-schedule.ts';
import { resolveIsa } from '../../src/runtime/native/cpu.ts';
import {
  type Contender,
  type ContenderPaths,
  ContenderProcess,
  contenderName,
} from './contender.ts';
import { gigaText, type Outcome, type Round } from './report.ts';

/** Thread pools of some peers spin for a few milliseconds after their work, which a probe would feel. */
const SETTLE_MS = 50;

/** What the comparison is about, beside the contenders. */
export interface Course {
  readonly paths: ContenderPaths;
  readonly rounds: number;
  readonly threads: number;
  /** What a step multiplies at a precision: these ceilings are probed. */
  readonly products: (precision: Precision) => ProductFlops;
}

/** Takes no more memory than the largest contender. */
export async function compareInTurn(
  contenders: readonly Contender[],
  course: Course,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const contender of contenders) {
    outcomes.push(...(await compareInterleaved([contender], course)));
  }
  return outcomes;
}

interface Running {
  readonly process: ContenderProcess;
  readonly rounds: Round[];
  peakMemory: number;
}

/** Whatever slows the machine down for a while then meets every contender. */
export async function compareInterleaved(
  contenders: readonly Contender[],
  course: Course,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  let running: Running[] = [];
  for (const contender of contenders) {
    note(`${contenderName(contender)}: loading and warming up`);
    try {
      const process = await ContenderProcess.start(contender, course.paths);
      running.push({ process, rounds: [], peakMemory: 0 });
    } catch (error) {
      outcomes.push(failure(contender, 'failed', reasonOf(error)));
    }
  }
  for (let round = 0; round < course.rounds; round++) {
    const alive: Running[] = [];
    for (const one of running) {
      try {
        await measureRound(one, course);
        alive.push(one);
      } catch (error) {
        outcomes.push(failure(one.process.contender, 'failed', reasonOf(error)));
        await one.process.close();
      }
    }
    running = alive;
  }
  for (const one of running) await one.process.close();
  return outcomes.concat(
    running.map(({ process: { contender, introduction }, rounds, peakMemory }) => ({
      ...contender,
      outcome: 'measured',
      introduction,
      rounds,
      peakMemory,
    })),
  );
}

async function measureRound(one: Running, { threads, products }: Course): Promise<void> {
  const { contender } = one.process;
  const probe = async () => {
    await sleep(SETTLE_MS);
    return probeCeilings(products(contender.precision), { isa: resolveIsa(), threads });
  };
  const before = await probe();
  const { seconds, peakMemory } = await one.process.step();
  const ceilings = between(before, await probe());
  one.rounds.push({ ceilings, seconds });
  one.peakMemory = peakMemory;
  note(
    `${contenderName(contender)}: ${seconds.toFixed(3)} s, ceiling ${gigaText(ceilings)} GFLOP/s`,
  );
}

export function failure(
  contender: Contender,
  outcome: 'failed' | 'skipped',
  reason: string,
): Outcome {
  return { ...contender, outcome, reason };
}

/** The sentence of an error that was thrown on purpose; any other is thrown on. */
export function reasonOf(error: unknown): string {
  if (error instanceof BookendError) return error.message;
  throw error;
}

/** Progress goes to standard error. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}
