import { BookendError } from '../core/errors.ts';
import type { NoiseLevels, Precision } from './precision-schedule.ts';
import { imageError, type PrecisionSensitivity, psnrOfError, stepErrors } from './sensitivity.ts';

/** What a schedule is chosen by. */
export interface AutoRequest {
  readonly sensitivity: PrecisionSensitivity;
  /** Of each model evaluation. */
  readonly sigmas: NoiseLevels;
  readonly high: Precision;
  /** Of one model evaluation, as measured on this machine. */
  readonly seconds: { readonly high: number; readonly int8: number };
  /** For all evaluations together. */
  readonly maxSeconds?: number;
  /** dB against the images of `high` alone. */
  readonly minPsnr?: number;
}

export interface AutoChoice {
  readonly schedule: readonly Precision[];
  /** Foretold, in dB; infinite without INT8. */
  readonly psnr: number;
  /** Foretold, for all evaluations. */
  readonly seconds: number;
}

/**
 * Under `maxSeconds`, the schedule of least error that fits; under `minPsnr` alone, the fastest that
 * is good enough; under both, the first, which must then be good enough. All INT8 steps save the
 * same time, so either way the least sensitive steps go first and the number of them decides.
 *
 * @throws BookendError `invalid-argument` when the budget cannot be met, saying what can
 */
export function chooseSchedule(request: AutoRequest): AutoChoice {
  const { maxSeconds, minPsnr } = request;
  const choices = candidates(request);
  const fastest = choices.reduce((best, each) => (each.seconds < best.seconds ? each : best));
  if (maxSeconds === undefined) {
    const good = choices.filter(({ psnr }) => psnr >= (minPsnr ?? 0));
    return good.reduce((best, each) => (each.seconds < best.seconds ? each : best));
  }
  const fitting = choices.filter(({ seconds }) => seconds <= maxSeconds);
  if (fitting.length === 0) {
    throw new BookendError(
      'invalid-argument',
      `The steps were to take ${maxSeconds} s and take about ${fastest.seconds.toFixed(1)} s at the fastest on this machine; allow that much, or ask for fewer steps or a smaller image.`,
    );
  }
  const best = fitting.reduce((a, b) => (b.psnr > a.psnr ? b : a));
  if (minPsnr !== undefined && best.psnr < minPsnr) {
    throw new BookendError(
      'invalid-argument',
      `Within ${maxSeconds} s this model is expected to reach ${best.psnr.toFixed(1)} dB where ${minPsnr} dB were asked for; allow more time or less quality.`,
    );
  }
  return best;
}

/** For every number of INT8 evaluations from none to all, the least sensitive ones. */
function candidates({ sensitivity, sigmas, high, seconds }: AutoRequest): AutoChoice[] {
  const errors = stepErrors(sensitivity, sigmas);
  const order = errors.map((_, i) => i).sort((a, b) => errors[a] - errors[b] || a - b);
  return Array.from({ length: order.length + 1 }, (_, count) => {
    const chosen = new Set(order.slice(0, count));
    const combined = order.slice(0, count).map((i) => errors[i]);
    return {
      schedule: sigmas.map((_, i) => (chosen.has(i) ? 'int8' : high)),
      psnr: psnrOfError(imageError(sensitivity, combined, sigmas.length)),
      seconds: count * seconds.int8 + (sigmas.length - count) * seconds.high,
    };
  });
}
