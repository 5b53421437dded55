import { startStopwatch } from '../core/stopwatch.ts';
import type { Precision } from '../quantization/precision-schedule.ts';
import { createScheduler } from '../schedulers/index.ts';
import { ImageNoise } from './latents.ts';
import type { LoadedModel } from './load.ts';
import { type HighPrecision, requireWhole } from './request.ts';
import { SENSITIVITY_SCHEDULER } from './sensitivity-runs.ts';
import { type SubjectOptions, subjectOf } from './sensitivity-subject.ts';

export interface ImageTimingRequest extends SubjectOptions {
  /** How long it is decides nothing up to the text encoder's window. */
  readonly prompt: string;
  readonly precisions: readonly Precision[];
  /** The same model, by what its text encoder and autoencoder compute in. */
  readonly surroundings: ReadonlyMap<HighPrecision, LoadedModel['model']>;
  /**
   * Times of each at least; those of a small network go on for a few seconds. One more comes first and
   * does not count.
   */
  readonly rounds: number;
  /** Told after every round. */
  readonly onRound?: (done: number, total: number, seconds: number) => void;
}

/** Seconds of the parts of an image, round by round. */
export interface ImageTimings {
  /** Of one model evaluation, guidance included. */
  readonly evaluations: Readonly<Partial<Record<Precision, readonly number[]>>>;
  /** Of text encoder and decoder. */
  readonly around: Readonly<Partial<Record<HighPrecision, readonly number[]>>>;
}

const ENOUGH_SECONDS = 5;
const MOST_ROUNDS = 100;

/**
 * Times the parts of an image in each precision. They take turns, so that a machine that is busy for
 * a while is so for all of them; what is computed does not change how long it takes.
 *
 * @param model whose U-Net computes in each of the precisions
 * @throws BookendError `invalid-argument` for INT8 of a model without, `insufficient-memory` where the
 * network does not fit in all precisions at once, `aborted`
 */
export async function measureImageTimings(
  model: LoadedModel['model'],
  request: ImageTimingRequest,
): Promise<ImageTimings> {
  const { precisions, surroundings, prompt } = request;
  const subject = subjectOf(model, request);
  const { numTrainTimesteps } = createScheduler(SENSITIVITY_SCHEDULER, subject.schedulerConfig);
  const plan = {
    timesteps: precisions.map(() => Math.floor(numTrainTimesteps / 2)),
    schedule: precisions,
  };
  const sample = new ImageNoise([0], subject.shape).draw();
  const beside = [...surroundings.values()].map((other) => subjectOf(other, request));
  const seconds = await subject.use(plan, prompt, (predict) =>
    timeInRounds(
      [
        ...precisions.map((_, i) => () => predict(sample, i)),
        ...beside.map((other) => () => other.surround(prompt)),
      ],
      request,
    ),
  );
  const around = seconds.slice(precisions.length);
  return {
    evaluations: Object.fromEntries(precisions.map((precision, i) => [precision, seconds[i]])),
    around: Object.fromEntries([...surroundings.keys()].map((name, i) => [name, around[i]])),
  };
}

/** Seconds of each task, by round. */
async function timeInRounds(
  tasks: readonly (() => Promise<unknown>)[],
  request: ImageTimingRequest,
): Promise<number[][]> {
  const rounds = requireWhole('rounds', request.rounds, 1, 1000);
  const seconds = tasks.map((): number[] => []);
  for (const task of tasks) await task();
  let total = rounds;
  for (let round = 1; round <= total; round++) {
    const elapsed = startStopwatch();
    for (const [i, task] of tasks.entries()) {
      const each = startStopwatch();
      await task();
      seconds[i].push(each());
    }
    const taken = elapsed();
    if (round === 1) {
      const enough = Math.ceil(ENOUGH_SECONDS / taken);
      total = Math.max(rounds, Math.min(MOST_ROUNDS, enough));
    }
    request.onRound?.(round, total, taken);
  }
  return seconds;
}
