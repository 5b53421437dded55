import { BookendError } from '../core/errors.ts';

/** What the layers of a U-Net compute in at a step. */
export type Precision = 'fp32' | 'bf16' | 'int8';

export const precisions: readonly Precision[] = ['fp32', 'bf16', 'int8'];

/** `from` ≤ σ < `to`, where σ is the noise's standard deviation beside a signal of factor one. */
export interface SigmaRange {
  readonly from: number;
  readonly to: number;
  readonly precision: Precision;
}

/**
 * Which precision runs at which model evaluation of a run; pure data.
 *
 * - `uniform`: one throughout.
 * - `mixed`: INT8, with `high` for the first and the last `highPrecisionSteps` (Chang et al.,
 *   "Effective Quantization for Diffusion Models on CPUs", 2023, section 3.3).
 * - `list`: one after the other; `count` is a whole number, or `*` for what the others leave over.
 * - `sigmas`: by the noise level, the first range that fits; `otherwise` where none does.
 * - `auto`: chosen under a budget, by what the model's sensitivity foretells.
 */
export type PrecisionSchedule =
  | { readonly kind: 'uniform'; readonly precision: Precision }
  | { readonly kind: 'mixed'; readonly high: Precision; readonly highPrecisionSteps: number }
  | { readonly kind: 'list'; readonly runs: readonly PrecisionRun[] }
  | {
      readonly kind: 'sigmas';
      readonly ranges: readonly SigmaRange[];
      readonly otherwise: Precision;
    }
  | AutoSchedule;

/** Equal precisions in a row. */
export interface PrecisionRun {
  readonly precision: Precision;
  readonly count: number | '*';
}

/** At least one of the two is there. */
export interface AutoSchedule {
  readonly kind: 'auto';
  readonly high: Precision;
  /** For all denoising steps together. */
  readonly maxSeconds?: number;
  /** dB against the image without INT8. */
  readonly minPsnr?: number;
}

/** Whether any evaluation may run in INT8. */
export function usesInt8(schedule: PrecisionSchedule): boolean {
  switch (schedule.kind) {
    case 'uniform':
      return schedule.precision === 'int8';
    case 'list':
      return schedule.runs.some(({ precision }) => precision === 'int8');
    case 'sigmas':
      return [...schedule.ranges.map(({ precision }) => precision), schedule.otherwise].includes(
        'int8',
      );
    case 'mixed':
    case 'auto':
      return true;
  }
}

/** The noise levels of a run's model evaluations, in order. */
export type NoiseLevels = readonly number[];

/**
 * The precision of each model evaluation.
 *
 * @throws BookendError `invalid-argument` for a list that does not fit the run
 */
export function resolveSchedule(
  schedule: Exclude<PrecisionSchedule, AutoSchedule>,
  sigmas: NoiseLevels,
): Precision[] {
  const evaluations = sigmas.length;
  switch (schedule.kind) {
    case 'uniform':
      return sigmas.map(() => schedule.precision);
    case 'mixed': {
      const { high, highPrecisionSteps: k } = schedule;
      return sigmas.map((_, i) => (i < k || i >= evaluations - k ? high : 'int8'));
    }
    case 'list':
      return expandRuns(schedule.runs, evaluations);
    case 'sigmas':
      return sigmas.map(
        (sigma) =>
          schedule.ranges.find(({ from, to }) => from <= sigma && sigma < to)?.precision ??
          schedule.otherwise,
      );
  }
}

function expandRuns(runs: readonly PrecisionRun[], evaluations: number): Precision[] {
  const fixed = runs.reduce((sum, { count }) => sum + (count === '*' ? 0 : count), 0);
  const rest = evaluations - fixed;
  const elastic = runs.some(({ count }) => count === '*');
  if (rest < 0 || (rest > 0 && !elastic)) {
    throw new BookendError(
      'invalid-argument',
      `The schedule names ${fixed} precisions and this run evaluates the model ${evaluations} times; name as many, or write one count as * for the rest.`,
    );
  }
  return runs.flatMap(({ precision, count }) =>
    Array<Precision>(count === '*' ? rest : count).fill(precision),
  );
}

/** `bf16x5,int8x40,bf16x5`, for people: how a schedule is recorded. */
export function formatSchedule(schedule: readonly Precision[]): string {
  const runs: { precision: Precision; count: number }[] = [];
  for (const precision of schedule) {
    const last = runs.at(-1);
    if (last?.precision === precision) last.count++;
    else runs.push({ precision, count: 1 });
  }
  if (runs.length === 1) return runs[0].precision;
  return runs.map(({ precision, count }) => `${precision}x${count}`).join(',');
}

/**
 * Reads a schedule as the command line has it: `bf16x5,int8x*,bf16x5` counts model evaluations (no
 * count means 1, `*` what the others leave over); `int8@0.5..7,bf16` gives ranges of σ, either end
 * of which may be left out, and a precision for the rest.
 *
 * @throws BookendError `invalid-argument`
 */
export function parseSchedule(text: string): PrecisionSchedule {
  const items = text.split(',').map((item) => item.trim());
  return text.includes('@') ? parseSigmas(text, items) : parseList(text, items);
}

const MOST_EVALUATIONS = 10_000;

function parseList(text: string, items: readonly string[]): PrecisionSchedule {
  const runs = items.map((item): PrecisionRun => {
    const match = /^(fp32|bf16|int8)(?:x(\d{1,6}|\*))?$/.exec(item);
    if (!match) throw unreadable(text, item);
    const count = match[2] === '*' ? '*' : Number(match[2] ?? 1);
    if (count === 0 || (count !== '*' && count > MOST_EVALUATIONS)) throw unreadable(text, item);
    return { precision: match[1] as Precision, count };
  });
  const elastic = runs.filter(({ count }) => count === '*');
  if (elastic.length > 1) throw unreadable(text, `${elastic[1].precision}x*`);
  return { kind: 'list', runs };
}

function parseSigmas(text: string, items: readonly string[]): PrecisionSchedule {
  const otherwise = items[items.length - 1];
  if (!isPrecision(otherwise)) throw unreadable(text, otherwise);
  const ranges = items.slice(0, -1).map((item): SigmaRange => {
    const match = /^(fp32|bf16|int8)@(.*?)\.\.(.*)$/.exec(item);
    if (!match) throw unreadable(text, item);
    const from = match[2] === '' ? 0 : Number(match[2]);
    const to = match[3] === '' ? Number.POSITIVE_INFINITY : Number(match[3]);
    if (!(from >= 0 && to > from)) throw unreadable(text, item);
    return { from, to, precision: match[1] as Precision };
  });
  return { kind: 'sigmas', ranges, otherwise };
}

export function isPrecision(value: unknown): value is Precision {
  return precisions.includes(value as Precision);
}

function unreadable(text: string, item: string): BookendError {
  return new BookendError(
    'invalid-argument',
    `The schedule ${JSON.stringify(text.slice(0, 100))} cannot be read at ${JSON.stringify(item.slice(0, 40))}; write counts as in bf16x5,int8x*,bf16x5 or noise levels as in int8@0.5..7,bf16.`,
  );
}
