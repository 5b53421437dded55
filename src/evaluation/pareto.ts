import { BookendError } from '../core/errors.ts';

/** A choice between quality and what it costs. */
export interface Tradeoff {
  /** The less the better. */
  readonly cost: number;
  /** The more the better; may be infinite. */
  readonly quality: number;
}

/**
 * Which of the choices are Pareto-optimal: no other one costs as little and is as good, and one of
 * the two strictly better. Equal ones are optimal together.
 *
 * @throws BookendError `invalid-argument` for a NaN
 */
export function paretoOptimal(choices: readonly Tradeoff[]): boolean[] {
  for (const { cost, quality } of choices) {
    if (!Number.isNaN(cost) && !Number.isNaN(quality)) continue;
    throw new BookendError(
      'invalid-argument',
      `A choice has the cost ${cost} and the quality ${quality}; give numbers for both.`,
    );
  }
  return choices.map((one) => !choices.some((other) => dominates(other, one)));
}

function dominates(one: Tradeoff, other: Tradeoff): boolean {
  if (one.cost > other.cost || one.quality < other.quality) return false;
  return one.cost < other.cost || one.quality > other.quality;
}
