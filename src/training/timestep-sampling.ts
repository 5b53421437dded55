import { BookendError } from '../core/errors.ts';
import type { RandomStream } from './random-stream.ts';

/** Training timesteps `from` ≤ t < `to`, whole numbers. */
export interface TimestepRange {
  readonly from: number;
  readonly to: number;
}

/** All timesteps: training as usual. */
export function allTimesteps(trainTimesteps: number): TimestepRange[] {
  return [{ from: 0, to: trainTimesteps }];
}

/**
 * The training timesteps that some model evaluations of a sampling run stand for, so that a model
 * is trained where it will be used. Every training timestep belongs to the evaluation whose timestep
 * is nearest (halfway, to the noisier one); evaluations at equal timesteps share theirs, which are
 * chosen if one of them is.
 *
 * @param timesteps of the run's evaluations in any order, from 0 to trainTimesteps − 1, whole or not
 * @param chosen for each evaluation whether its timesteps are wanted, such as whether it runs in INT8
 * @param trainTimesteps how many timesteps the model was trained on
 * @returns ranges from the cleanest to the noisiest, none empty and none touching the next
 * @throws BookendError `invalid-argument` for lists that do not fit or where nothing is chosen
 */
export function timestepsOfEvaluations(
  timesteps: readonly number[],
  chosen: readonly boolean[],
  trainTimesteps: number,
): TimestepRange[] {
  const sound = timesteps.every((t) => t >= 0 && t <= trainTimesteps - 1);
  if (!sound || timesteps.length !== chosen.length) {
    throw new BookendError(
      'invalid-argument',
      `${timesteps.length} timesteps and ${chosen.length} choices do not describe a run on ${trainTimesteps} training timesteps; give one choice for each, and timesteps from 0 to ${trainTimesteps - 1}.`,
    );
  }
  const wanted = new Map<number, boolean>();
  for (const [i, t] of timesteps.entries()) {
    wanted.set(t, chosen[i] || wanted.get(t) === true);
  }
  const cells = [...wanted].sort(([a], [b]) => a - b);
  const ranges: TimestepRange[] = [];
  let from = 0;
  for (const [i, [t, isWanted]] of cells.entries()) {
    const to = i + 1 < cells.length ? Math.ceil((t + cells[i + 1][0]) / 2) : trainTimesteps;
    const last = ranges.at(-1);
    if (isWanted && last?.to === from) ranges[ranges.length - 1] = { from: last.from, to };
    else if (isWanted && to > from) ranges.push({ from, to });
    from = to;
  }
  if (ranges.length > 0) return ranges;
  throw new BookendError(
    'invalid-argument',
    `None of the ${timesteps.length} model evaluations is chosen for training; use a schedule that gives some to INT8, or train on all timesteps.`,
  );
}

/** Draws timesteps from the union of `ranges`, all equally likely. */
export function drawTimesteps(
  ranges: readonly TimestepRange[],
  count: number,
  random: RandomStream,
): number[] {
  const total = ranges.reduce((sum, { from, to }) => sum + to - from, 0);
  return Array.from({ length: count }, () => timestepAt(ranges, random.below(total)));
}

/** The timestep number `index` of the union of `ranges`. */
function timestepAt(ranges: readonly TimestepRange[], index: number): number {
  let before = 0;
  for (const { from, to } of ranges) {
    if (index < before + to - from) return from + index - before;
    before += to - from;
  }
  throw new BookendError(
    'invalid-argument',
    `There are ${before} timesteps to draw from and number ${index} was asked for; give ranges that are not empty.`,
  );
}
