import { BookendError } from '../core/errors.ts';
import { type AutoChoice, chooseSchedule } from '../quantization/auto-schedule.ts';
import {
  type AutoSchedule,
  isPrecision,
  type Precision,
  type PrecisionSchedule,
  parseSchedule,
  precisions,
  resolveSchedule,
  usesInt8,
} from '../quantization/precision-schedule.ts';
import type { PrecisionSensitivity } from '../quantization/sensitivity.ts';
import { sigmaFromAlphaCumprod } from '../schedulers/noise-schedule.ts';
import type { Scheduler, SchedulerRun } from '../schedulers/scheduler.ts';
import { bestPrecision } from './cpu-precision.ts';
import {
  type PrecisionOptions,
  type PrecisionPrediction,
  requireNumber,
  requireWhole,
} from './request.ts';

/** `highPrecisionSteps` where nobody says: the paper's choice for 50 steps. */
export const DEFAULT_HIGH_PRECISION_STEPS = 5;

/** The most that any of the options of a schedule may be. */
const MOST = 1_000_000;

/**
 * What `request` asks for, and where it does not say, what the model was loaded with.
 *
 * @throws BookendError `invalid-argument` for options that contradict one another or make no sense
 */
export function precisionSchedule(
  loaded: PrecisionOptions,
  request: PrecisionOptions = {},
): PrecisionSchedule {
  const decides = request.precision !== undefined || request.schedule !== undefined;
  const { precision, schedule, highPrecisionSteps, maxSeconds, minPsnr } = decides
    ? request
    : { ...loaded, ...onlyGiven(request) };
  const mode = schedule === undefined ? (precision ?? bestPrecision()) : 'schedule';
  if (schedule !== undefined && precision !== undefined) {
    throw misuse(`a schedule and the precision ${precision}`, 'give one of the two');
  }
  if (mode !== 'mixed' && highPrecisionSteps !== undefined) {
    throw misuse(`highPrecisionSteps with ${describe(mode)}`, "it goes with precision 'mixed'");
  }
  if (mode !== 'auto' && (maxSeconds ?? minPsnr) !== undefined) {
    const name = maxSeconds === undefined ? 'minPsnr' : 'maxSeconds';
    throw misuse(`${name} with ${describe(mode)}`, "it goes with precision 'auto'");
  }
  if (schedule !== undefined) return explicitSchedule(schedule);
  if (mode === 'mixed') {
    const k = highPrecisionSteps ?? DEFAULT_HIGH_PRECISION_STEPS;
    requireWhole('highPrecisionSteps', k, 0, MOST);
    return { kind: 'mixed', high: bestPrecision(), highPrecisionSteps: k };
  }
  if (mode === 'auto') return autoSchedule(maxSeconds, minPsnr);
  if (isPrecision(mode)) return { kind: 'uniform', precision: mode };
  throw new BookendError(
    'invalid-argument',
    `The precision is ${JSON.stringify(mode)}; use ${precisions.join(', ')}, mixed or auto.`,
  );
}

function explicitSchedule(schedule: string | readonly Precision[]): PrecisionSchedule {
  if (typeof schedule === 'string') return parseSchedule(schedule);
  const stranger = schedule.find((entry) => !isPrecision(entry));
  if (stranger === undefined) {
    return { kind: 'list', runs: schedule.map((precision) => ({ precision, count: 1 })) };
  }
  throw new BookendError(
    'invalid-argument',
    `The schedule holds ${JSON.stringify(stranger)}; use ${precisions.join(', ')}.`,
  );
}

function autoSchedule(maxSeconds: number | undefined, minPsnr: number | undefined): AutoSchedule {
  if (maxSeconds === undefined && minPsnr === undefined) {
    throw new BookendError(
      'invalid-argument',
      "The precision 'auto' was given no budget; say maxSeconds for the denoising steps or minPsnr in dB (--max-seconds, --min-psnr).",
    );
  }
  if (maxSeconds !== undefined) requireNumber('maxSeconds', maxSeconds, 0, MOST);
  if (minPsnr !== undefined) requireNumber('minPsnr', minPsnr, 0, MOST);
  return { kind: 'auto', high: bestPrecision(), maxSeconds, minPsnr };
}

function onlyGiven(options: PrecisionOptions): PrecisionOptions {
  const { highPrecisionSteps, maxSeconds, minPsnr } = options;
  const given = { highPrecisionSteps, maxSeconds, minPsnr };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

function describe(mode: string): string {
  return mode === 'schedule' ? 'a schedule' : `precision ${mode}`;
}

function misuse(found: string, remedy: string): BookendError {
  return new BookendError('invalid-argument', `The request has ${found}; ${remedy}.`);
}

/** Seconds of one evaluation of a model, for the size that is to run. */
export type StepSeconds = Readonly<Partial<Record<Precision, number>>>;

/** What `auto` needs to know of a model. */
export interface PrecisionSubject {
  /** For errors. */
  readonly origin: string;
  readonly sensitivity: PrecisionSensitivity | undefined;
  /** @throws BookendError where there is no INT8 */
  readonly requireInt8: () => unknown;
  /** Times an evaluation at `timestep` in each precision. */
  readonly measure: (timestep: number, wanted: readonly Precision[]) => Promise<StepSeconds>;
}

/** The precision of each model evaluation; how `auto` thinks it will turn out. */
export interface ResolvedPrecision {
  readonly schedule: readonly Precision[];
  readonly prediction?: PrecisionPrediction;
}

/**
 * One precision for each evaluation of `run`.
 *
 * @throws BookendError `invalid-argument` for a list that does not fit and for budgets that cannot be
 * met, or INT8 of a model without; `unsupported` for `auto` without a measured sensitivity
 */
export async function resolvePrecision(
  schedule: PrecisionSchedule,
  scheduler: Scheduler,
  { timesteps }: SchedulerRun,
  subject: PrecisionSubject,
): Promise<ResolvedPrecision> {
  if (usesInt8(schedule)) subject.requireInt8();
  const sigmas = noiseLevels(scheduler, timesteps);
  if (schedule.kind !== 'auto') {
    return { schedule: resolveSchedule(schedule, sigmas) };
  }
  const { sensitivity } = subject;
  if (!sensitivity) {
    throw new BookendError(
      'unsupported',
      `${subject.origin} does not say how sensitive its steps are to INT8, which precision auto goes by; quantize the model with \`bookend quantize\`, which measures it.`,
    );
  }
  const { high, maxSeconds, minPsnr } = schedule;
  const middle = timesteps[Math.floor(timesteps.length / 2)];
  const seconds = await subject.measure(middle, [high, 'int8']);
  const choice: AutoChoice = chooseSchedule({
    sensitivity,
    sigmas,
    high,
    seconds: { high: seconds[high]!, int8: seconds.int8! },
    maxSeconds,
    minPsnr,
  });
  const { psnr } = choice;
  const prediction = { seconds: choice.seconds, ...(Number.isFinite(psnr) && { psnr }) };
  return { schedule: choice.schedule, prediction };
}

/** σ at each of `timesteps`, which need not be whole. */
export function noiseLevels(scheduler: Scheduler, timesteps: readonly number[]): number[] {
  const { alphasCumprod } = scheduler.noiseSchedule;
  return timesteps.map((timestep) => sigmaAt(alphasCumprod, timestep));
}

/** √((1 − ᾱ)/ᾱ), between whole timesteps in proportion to its logarithm. */
function sigmaAt(alphasCumprod: Float32Array, timestep: number): number {
  const last = alphasCumprod.length - 1;
  const at = Math.min(Math.max(timestep, 0), last);
  const low = Math.floor(at);
  const sigma = sigmaFromAlphaCumprod(alphasCumprod[low]);
  if (at === low) return sigma;
  const next = sigmaFromAlphaCumprod(alphasCumprod[low + 1]);
  return sigma * (next / sigma) ** (at - low);
}
