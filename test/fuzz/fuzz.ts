import { parseArgs } from 'node:util';
import { BookendError } from '../../src/core/errors.ts';
import { FuzzRandom } from './mutate.ts';

/** What became of the inputs; `refused` counts them by error code. */
export interface FuzzReport {
  iterations: number;
  accepted: number;
  refused: Record<string, number>;
  slowestMs: number;
  peakMemory: number;
}

/** Feeds one mutated input to the code under test. */
export type FuzzTarget = (random: FuzzRandom, iteration: number) => Promise<void> | void;

const MAX_MS = 5_000;
const MAX_MEMORY = 2 ** 30;

/**
 * Runs `target` with one random stream per iteration. Anything but success or a BookendError stops
 * the run, as do an input that takes longer than 5 s and a process that grows past 1 GiB.
 */
export async function fuzz(
  iterations: number,
  seed: number,
  target: FuzzTarget,
): Promise<FuzzReport> {
  const report: FuzzReport = {
    iterations,
    accepted: 0,
    refused: {},
    slowestMs: 0,
    peakMemory: 0,
  };
  for (let i = 0; i < iterations; i++) {
    const start = performance.now();
    try {
      await target(new FuzzRandom(seed + i), i);
      report.accepted++;
    } catch (error) {
      if (!(error instanceof BookendError)) {
        throw new Error(`Input ${i} of seed ${seed} gave ${String(error)}`, { cause: error });
      }
      if (!isOneSentence(error.message)) {
        throw new Error(`Input ${i} of seed ${seed} gave the message: ${error.message}`);
      }
      report.refused[error.code] = (report.refused[error.code] ?? 0) + 1;
    }
    report.slowestMs = Math.max(report.slowestMs, performance.now() - start);
    if (i % 100 === 0) report.peakMemory = Math.max(report.peakMemory, process.memoryUsage.rss());
    if (report.slowestMs > MAX_MS || report.peakMemory > MAX_MEMORY) {
      throw new Error(`Input ${i} of seed ${seed} is too costly: ${JSON.stringify(report)}`);
    }
  }
  return report;
}

function isOneSentence(message: string): boolean {
  return message.length < 1000 && !message.includes('\n') && message.endsWith('.');
}

/** `--iterations N --seed S` for a fuzzer run by itself; prints the report. */
export async function runFromCommandLine(
  run: (iterations: number, seed: number) => Promise<FuzzReport>,
): Promise<void> {
  const { values } = parseArgs({
    options: {
      iterations: { type: 'string', default: '100000' },
      seed: { type: 'string', default: '1' },
    },
  });
  const report = await run(Number(values.iterations), Number(values.seed));
  console.log(JSON.stringify(report));
}
