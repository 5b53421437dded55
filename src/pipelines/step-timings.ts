import { startStopwatch } from '../core/stopwatch.ts';
import type { Precision } from '../quantization/precision-schedule.ts';
import { createScheduler } from '../schedulers/index.ts';
import { ImageNoise } from './latents.ts';
import type { LoadedModel } from './load.ts';
import { requireWhole } from './request.ts';
import { SENSITIVITY_SCHEDULER } from './sensitivity-runs.ts';
import { type SubjectOptions, subjectOf } from './sensitivity-subject.ts';

export interface StepTimingRequest extends SubjectOptions {
  /** How long it is decides nothing up to the text encoder's window. */
  readonly prompt: string;
  readonly precisions: readonly Precision[];
  /**
   * Evaluations of each precision at least; those of a small network go on for a few seconds. One more
   * comes first and does not count.
   */
  readonly rounds: number;
  /** Told after every round. */
  readonly onRound?: (done: number, total: number, seconds: number) => void;
}

/** Seconds of one model evaluation, guidance included, by round. */
export type StepTimings = Readonly<Partial<Record<Precision, readonly number[]>>>;

const ENOUGH_SECONDS = 5;
const MOST_ROUNDS = 100;

/**
 * Times one model evaluation in each precision. They take turns, so that a machine that is busy for
 * a while is so for all of them; what is computed does not change how long it takes.
 *
 * @throws BookendError `invalid-argument` for INT8 of a model without, `insufficient-memory` where the
 * network does not fit in all precisions at once, `aborted`
 */
export async function measureStepTimings(
  model: LoadedModel['model'],
  request: StepTimingRequest,
): Promise<StepTimings> {
  const { precisions, prompt, onRound } = request;
  const rounds = requireWhole('rounds', request.rounds, 1, 1000);
  const subject = subjectOf(model, request);
  const { numTrainTimesteps } = createScheduler(SENSITIVITY_SCHEDULER, subject.schedulerConfig);
  const plan = {
    timesteps: precisions.map(() => Math.floor(numTrainTimesteps / 2)),
    schedule: precisions,
  };
  const sample = new ImageNoise([0], subject.shape).draw();
  const seconds = precisions.map((): number[] => []);
  await subject.use(plan, prompt, async (predict) => {
    for (const i of precisions.keys()) await predict(sample, i);
    let total = rounds;
    for (let round = 1; round <= total; round++) {
      const elapsed = startStopwatch();
      for (const i of precisions.keys()) {
        const each = startStopwatch();
        await predict(sample, i);
        seconds[i].push(each());
      }
      const taken = elapsed();
      if (round === 1) {
        const enough = Math.ceil(ENOUGH_SECONDS / taken);
        total = Math.max(rounds, Math.min(MOST_ROUNDS, enough));
      }
      onRound?.(round, total, taken);
    }
  });
  return Object.fromEntries(precisions.map((precision, i) => [precision, seconds[i]]));
}
