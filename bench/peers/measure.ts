import { setTimeout as sleep } from 'node:timers/promises';
import { BookendError } from '../../src/core/errors.ts';
import { inferencePrecision } from '../../src/pipelines/request.ts';
import { measureCeiling } from '../../src/runtime/native/ceiling.ts';
import { resolveIsa } from '../../src/runtime/native/cpu.ts';
import {
  type Contender,
  type ContenderPaths,
  ContenderProcess,
  contenderName,
} from './contender.ts';
import type { Outcome, Round } from './report.ts';

const PROBE_SECONDS = 0.15;
/** Thread pools of some peers spin for a few milliseconds after their work, which a probe would feel. */
const SETTLE_MS = 50;
/** Takes no more memory than the largest contender. */
export async function compareInTurn(
  contenders: readonly Contender[],
  paths: ContenderPaths,
  rounds: number,
  threads: number,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const contender of contenders) {
    outcomes.push(...(await compareInterleaved([contender], paths, rounds, threads)));
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
  paths: ContenderPaths,
  rounds: number,
  threads: number,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  let running: Running[] = [];
  for (const contender of contenders) {
    note(`${contenderName(contender)}: loading and warming up`);
    try {
      const process = await ContenderProcess.start(contender, paths);
      running.push({ process, rounds: [], peakMemory: 0 });
    } catch (error) {
      outcomes.push(failure(contender, 'failed', reasonOf(error)));
    }
  }
  for (let round = 0; round < rounds; round++) {
    const alive: Running[] = [];
    for (const one of running) {
      try {
        await measureRound(one, threads);
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

async function measureRound(one: Running, threads: number): Promise<void> {
  const { contender } = one.process;
  const probe = async () => {
    await sleep(SETTLE_MS);
    const isa = resolveIsa();
    return measureCeiling(inferencePrecision(contender.precision), {
      isa,
      threads,
      seconds: PROBE_SECONDS,
    });
  };
  const before = await probe();
  const { seconds, peakMemory } = await one.process.step();
  const after = await probe();
  one.rounds.push({ ceiling: (before + after) / 2, seconds });
  one.peakMemory = peakMemory;
  const giga = ((before + after) / 2e9).toFixed(0);
  note(`${contenderName(contender)}: ${seconds.toFixed(3)} s, ceiling ${giga} GFLOP/s`);
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
