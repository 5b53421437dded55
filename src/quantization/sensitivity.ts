import { z } from 'zod';
import type { Precision } from './precision-schedule.ts';

const finite = z.number().finite().nonnegative();

/** `PrecisionSensitivity` as it is stored in a quantized checkpoint. */
export const precisionSensitivitySchema = z.object({
  points: z
    .array(z.object({ timestep: finite, amplitude: finite }))
    .min(1)
    .max(1000)
    .refine(
      (points) => points.every(({ timestep }, i) => i === 0 || timestep < points[i - 1].timestep),
      'the timesteps must fall',
    ),
  exponent: z.number().min(1).max(2),
  int8Psnr: finite,
  conditions: z.object({
    scheduler: z.string(),
    steps: z.int().min(1),
    guidanceScale: finite,
    width: z.int().min(1),
    height: z.int().min(1),
    prompts: z.int().min(1),
  }),
});

/**
 * How much a model's images suffer from INT8, by where in the run it computes: measured once, and
 * enough to foretell the error of any schedule.
 *
 * - `points`: root mean square error of the image, as a share of its range, that one evaluation in
 *   INT8 makes for each unit of timestep that its step covers. By falling timestep, at least one.
 * - `exponent` p, 1 to 2: errors of several steps add up to (Σ aᵢᵖ)^(1/p), so p = 1 if they all
 *   push the same way and p = 2 if they are independent.
 * - `int8Psnr`: dB of images wholly in INT8, which `exponent` was fitted to.
 * - `conditions`: of the measurement.
 */
export type PrecisionSensitivity = z.infer<typeof precisionSensitivitySchema>;

/** The precision of a run's evaluations, and where they are. */
export interface ScheduledRun {
  readonly timesteps: readonly number[];
  readonly schedule: readonly Precision[];
}

/** PSNR in dB of an image of range 1 with this root mean square error. */
export function psnrOfError(rootMeanSquare: number): number {
  return -20 * Math.log10(rootMeanSquare);
}

/** The inverse of `psnrOfError`. */
export function errorOfPsnr(psnr: number): number {
  return 10 ** (-psnr / 20);
}

/**
 * Timesteps that each evaluation covers: to the next lower one, and as many as before for the last,
 * since samplers end in different ways; equal ones share theirs.
 */
export function coveredTimesteps(timesteps: readonly number[]): number[] {
  const levels = [...new Set(timesteps)].sort((a, b) => b - a);
  const gaps = levels.slice(1).map((level, i) => levels[i] - level);
  gaps.push(gaps.at(-1) ?? Math.max(levels[0], 1));
  return timesteps.map((timestep) => {
    const sharers = timesteps.filter((other) => other === timestep).length;
    return gaps[levels.indexOf(timestep)] / sharers;
  });
}

/** The image's error if only the one evaluation ran in INT8, for each of a run. */
export function stepErrors(
  { points }: PrecisionSensitivity,
  timesteps: readonly number[],
): number[] {
  const covered = coveredTimesteps(timesteps);
  return timesteps.map((timestep, i) => covered[i] * amplitudeAt(points, timestep));
}

/** Linear between the points, constant beyond them. */
function amplitudeAt(points: PrecisionSensitivity['points'], timestep: number): number {
  const below = points.findIndex((point) => point.timestep <= timestep);
  if (below === 0) return points[0].amplitude;
  if (below < 0) return points[points.length - 1].amplitude;
  const [high, low] = [points[below - 1], points[below]];
  const share = (timestep - low.timestep) / (high.timestep - low.timestep);
  return low.amplitude + share * (high.amplitude - low.amplitude);
}

/** (Σ aᵢᵖ)^(1/p). */
export function combinedError(errors: readonly number[], exponent: number): number {
  return errors.reduce((sum, error) => sum + error ** exponent, 0) ** (1 / exponent);
}

/**
 * PSNR in dB that this model's images will have against those without INT8, on average; infinite
 * for a schedule without INT8.
 */
export function predictPsnr(
  sensitivity: PrecisionSensitivity,
  { timesteps, schedule }: ScheduledRun,
): number {
  const errors = stepErrors(sensitivity, timesteps).filter((_, i) => schedule[i] === 'int8');
  return psnrOfError(combinedError(errors, sensitivity.exponent));
}

/**
 * The exponent with which `errors` of single steps add up to `total`, as near as 1 to 2 allows: the
 * combined error falls as the exponent rises, so halving the interval finds it.
 */
export function fitExponent(errors: readonly number[], total: number): number {
  let [low, high] = [1, 2];
  for (let i = 0; i < 40; i++) {
    const middle = (low + high) / 2;
    if (combinedError(errors, middle) > total) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}
