import { median } from '../../evaluation/benchmark.ts';
import { chooseSchedule } from '../../quantization/auto-schedule.ts';
import {
  formatSchedule,
  type NoiseLevels,
  type Precision,
} from '../../quantization/precision-schedule.ts';
import {
  errorOfPsnr,
  type PrecisionSensitivity,
  predictPsnr,
} from '../../quantization/sensitivity.ts';
import type { ImageTimings } from '../image-timings.ts';
import type { HighPrecision } from '../request.ts';
import { meanPsnr, type PairedQuality } from './sweep-measures.ts';

/** What a recommendation goes by: settings of one number of steps, measured. */
export interface MeasuredSetting {
  readonly name: string;
  readonly schedule: readonly Precision[];
  /** To FP32 with as many steps. */
  readonly quality: PairedQuality;
  /** Of an image. */
  readonly seconds: number;
}

/** A schedule that the step sensitivity suggests. */
export interface ForetoldSchedule {
  readonly schedule: readonly Precision[];
  /** dB to FP32 that its images should have on average; absent where no step runs in INT8. */
  readonly psnr?: number;
}

export interface SweepRecommendation {
  readonly steps: number;
  /** The setting's name. */
  readonly name: string;
  /** As `--schedule` takes it. */
  readonly schedule: string;
  /** dB to FP32 with as many steps that were to be reached; absent where all settings equal it. */
  readonly target?: number;
  /** dB to FP32 with as many steps; absent where the images equal FP32's. */
  readonly psnr?: number;
  readonly seconds: number;
  /** What the step sensitivity suggested, where there is one. */
  readonly foretold?: { readonly schedule: string; readonly psnr?: number };
  readonly why: string;
}

/**
 * dB to FP32 that a recommendation must reach where nobody says: the middle between the worst and the
 * best of the settings. Undefined where all equal FP32.
 */
export function defaultTarget(settings: readonly MeasuredSetting[]): number | undefined {
  const found = settings.map(({ quality }) => meanPsnr(quality)).filter(Number.isFinite);
  return found.length > 0 ? (Math.min(...found) + Math.max(...found)) / 2 : undefined;
}

/** What a schedule is foretold from. */
export interface ForetellingRequest {
  readonly sensitivity: PrecisionSensitivity;
  /** Of the run's model evaluations. */
  readonly sigmas: NoiseLevels;
  readonly evaluations: ImageTimings['evaluations'];
  readonly high: HighPrecision;
  /** dB to FP32. */
  readonly target: number;
  /** Of high precision to FP32; undefined where it was not measured. */
  readonly highQuality: PairedQuality | undefined;
}

/**
 * The fastest schedule that should reach the target: `chooseSchedule` with the error that high
 * precision itself has to FP32 in place of the floor. (Two runs that round otherwise differ from each
 * other by the floor, and each of them from FP32 by the error of high precision.)
 */
export function foretellSchedule(request: ForetellingRequest): ForetoldSchedule {
  const { sigmas, evaluations, high, target, highQuality } = request;
  const floor = highQuality && floorOf(request.sensitivity, sigmas.length, meanPsnr(highQuality));
  const sensitivity = { ...request.sensitivity, ...(floor !== undefined && { floor }) };
  const seconds = { high: median(evaluations[high]!), int8: median(evaluations.int8!) };
  const { schedule } = chooseSchedule({ sensitivity, sigmas, high, seconds, minPsnr: target });
  const psnr = predictPsnr(sensitivity, { sigmas, schedule });
  return { schedule, ...(Number.isFinite(psnr) && { psnr }) };
}

/** The floor with which `imageError` gives what high precision has, without INT8. */
function floorOf(
  { conditions }: PrecisionSensitivity,
  evaluations: number,
  psnr: number,
): number | undefined {
  if (!Number.isFinite(psnr)) return undefined;
  return errorOfPsnr(psnr) / Math.sqrt(conditions.steps / evaluations);
}

/**
 * The fastest of the settings that reaches the target.
 *
 * @param settings FP32 among them, which reaches any
 */
export function recommend(
  steps: number,
  settings: readonly MeasuredSetting[],
  target: number | undefined,
  foretold?: ForetoldSchedule,
): SweepRecommendation {
  const reaching = settings.filter(({ quality }) => meanPsnr(quality) >= (target ?? 0));
  const best = reaching.reduce((a, b) => (b.seconds < a.seconds ? b : a));
  const exact = settings.find(({ name }) => name === 'fp32');
  const psnr = meanPsnr(best.quality);
  return {
    steps,
    name: best.name,
    schedule: formatSchedule(best.schedule),
    ...(target !== undefined && { target }),
    ...(Number.isFinite(psnr) && { psnr }),
    seconds: best.seconds,
    ...(foretold && { foretold: { ...foretold, schedule: formatSchedule(foretold.schedule) } }),
    why: [
      reason(steps, settings.length, best, target, exact),
      ...(foretold ? [outcome(settings, foretold)] : []),
    ].join(' '),
  };
}

function reason(
  steps: number,
  count: number,
  { name, schedule, quality, seconds }: MeasuredSetting,
  target: number | undefined,
  exact: MeasuredSetting | undefined,
): string {
  const text = formatSchedule(schedule);
  const what = text === name ? name : `${name} (${text})`;
  const wanted =
    target === undefined
      ? 'which all draw the images of FP32'
      : `whose images are on average at least ${target.toFixed(1)} dB from those of FP32`;
  const found = Number.isFinite(meanPsnr(quality))
    ? `${meanPsnr(quality).toFixed(1)} dB`
    : 'no difference';
  const beside = exact ? `, where fp32 takes ${exact.seconds.toFixed(2)} s` : '';
  return `At ${steps} steps ${what}: of the ${count} settings measured, the fastest ${wanted}, with ${found} in ${seconds.toFixed(2)} s an image${beside}.`;
}

/** Whether the step sensitivity was right. */
function outcome(
  settings: readonly MeasuredSetting[],
  { schedule, psnr }: ForetoldSchedule,
): string {
  const text = formatSchedule(schedule);
  if (psnr === undefined)
    return 'By the step sensitivity, no schedule with INT8 would reach that and be faster.';
  const measured = settings.find((setting) => formatSchedule(setting.schedule) === text);
  const found = measured && Number.isFinite(meanPsnr(measured.quality));
  const gave = found ? ` and gave ${meanPsnr(measured.quality).toFixed(1)} dB` : '';
  return `The step sensitivity suggested ${text}, which was to give ${psnr.toFixed(1)} dB${gave}.`;
}
