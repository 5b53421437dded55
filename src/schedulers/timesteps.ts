import { z } from 'zod';
import { BookendError } from '../core/errors.ts';

/** The options that choose the timesteps (Lin et al., 2023, table 2). */
export type TimestepSpacing = 'leading' | 'linspace' | 'trailing';

export function timestepOptions(spacing: TimestepSpacing) {
  return {
    timestep_spacing: z.enum(['leading', 'linspace', 'trailing']).default(spacing),
    steps_offset: z.int().min(0).default(0),
  };
}

export interface TimestepOptions {
  readonly num_train_timesteps: number;
  readonly timestep_spacing: TimestepSpacing;
  readonly steps_offset: number;
}

/**
 * `count` timesteps, from noisy to clean:
 * `leading` multiples of ⌊T/count⌋ plus `steps_offset`; `linspace` from T − 1 to 0, both included;
 * `trailing` from T − 1 down in steps of T/count.
 */
export function spacedTimesteps(options: TimestepOptions, count: number): number[] {
  return unroundedTimesteps(options, count).map(roundHalfEven);
}

/** As `spacedTimesteps`, except that `linspace` keeps its fractions. */
export function unroundedTimesteps(options: TimestepOptions, count: number): number[] {
  const total = options.num_train_timesteps;
  switch (options.timestep_spacing) {
    case 'leading':
      return leading(Math.floor(total / count), count, options);
    case 'linspace':
      return linspace(0, total - 1, count).reverse();
    case 'trailing':
      return trailing(total, total / count, count);
  }
}

/**
 * As `spacedTimesteps`, for the samplers that place `count` + 1 points and never evaluate the model
 * at the last of them. `last` is where the usable timesteps end (T, or less for clipped schedules).
 */
export function spacedTimestepsBeforeEnd(
  options: TimestepOptions,
  count: number,
  last: number = options.num_train_timesteps,
): number[] {
  switch (options.timestep_spacing) {
    case 'leading':
      return leading(Math.floor(last / (count + 1)), count + 1, options).slice(0, -1);
    case 'linspace':
      return linspace(0, last - 1, count + 1)
        .map(roundHalfEven)
        .reverse()
        .slice(0, -1);
    case 'trailing':
      return trailing(last, options.num_train_timesteps / count, count);
  }
}

function leading(stride: number, count: number, options: TimestepOptions): number[] {
  const total = options.num_train_timesteps;
  const timesteps = Array.from({ length: count }, (_, i) => i * stride + options.steps_offset);
  if (stride < 1 || timesteps[count - 1] >= total) {
    throw new BookendError(
      'invalid-argument',
      `${total} training timesteps with steps_offset ${options.steps_offset} have no room for ${count} of leading spacing; use fewer steps.`,
    );
  }
  return timesteps.reverse();
}

/**
 * Counts down from `start` by `stride`, with numpy.arange's rounding of the stride, which decides
 * the halves. Where that would let one more point in just above zero, which is no timestep, it is
 * left out.
 */
function trailing(start: number, stride: number, count: number): number[] {
  const length = Math.min(count, Math.ceil(start / stride));
  const delta = start - stride - start;
  return Array.from({ length }, (_, i) => roundHalfEven(start + i * delta) - 1);
}

/** Evenly spaced numbers, both ends included; one number is the start. */
export function linspace(start: number, end: number, count: number): number[] {
  const step = (end - start) / (count - 1);
  return Array.from({ length: count }, (_, i) =>
    i > 0 && i === count - 1 ? end : i === 0 ? start : i * step + start,
  );
}

/** To the nearest whole number, halves to the even one. */
export function roundHalfEven(x: number): number {
  const rounded = Math.round(x);
  return Math.abs(x % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}
