import { z } from 'zod';
import type { NoiseLevels, Precision } from './precision-schedule.ts';

const finite = z.number().finite().nonnegative();

/** `PrecisionSensitivity` as it is stored in a quantized checkpoint. */
export const precisionSensitivitySchema = z.object({
  points: z
    .array(z.object({ angle: finite.max(Math.PI / 2), amplitude: finite }))
    .min(1)
    .max(1000)
    .refine(
      (points) => points.every(({ angle }, i) => i === 0 || angle < points[i - 1].angle),
      'the angles must fall',
    ),
  exponent: z.number().min(1).max(2),
  floor: finite,
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
 *   INT8 makes for each radian that its step covers. The angle of a sample is arctan σ, so that a
 *   step is a rotation between image and noise and a model's error moves the result in proportion
 *   to it (Salimans and Ho, "Progressive Distillation for Fast Sampling of Diffusion Models", 2022,
 *   appendix D). By falling angle, at least one.
 * - `exponent` p, 1 to 2: errors of several steps add up to (Σ aᵢᵖ)^(1/p), so p = 1 if they all
 *   push the same way and p = 2 if they are independent.
 * - `floor`: the error that any departure grows to, however small, because high precision rounds
 *   too, and then rounds otherwise. Independent of the rest, so squares add; also of one step from
 *   the next, so it falls with the root of the number of steps.
 * - `int8Psnr`: dB of images wholly in INT8, which `exponent` was fitted to.
 * - `conditions`: of the measurement.
 */
export type PrecisionSensitivity = z.infer<typeof precisionSensitivitySchema>;

/** A run's evaluations in order. */
export interface ScheduledRun {
  readonly sigmas: NoiseLevels;
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

/** Radians that each evaluation covers: to the next lower level; equal levels share theirs. */
export function coveredAngles(sigmas: NoiseLevels): number[] {
  const levels = [...new Set(sigmas)].sort((a, b) => b - a);
  return sigmas.map((sigma) => {
    const next = levels[levels.indexOf(sigma) + 1] ?? 0;
    const sharers = sigmas.filter((other) => other === sigma).length;
    return (Math.atan(sigma) - Math.atan(next)) / sharers;
  });
}

/** The image's error if only the one evaluation ran in INT8, for each of a run. */
export function stepErrors({ points }: PrecisionSensitivity, sigmas: NoiseLevels): number[] {
  const covered = coveredAngles(sigmas);
  return sigmas.map((sigma, i) => covered[i] * amplitudeAt(points, Math.atan(sigma)));
}

/** Linear between the points, constant beyond them. */
function amplitudeAt(points: PrecisionSensitivity['points'], angle: number): number {
  const below = points.findIndex((point) => point.angle <= angle);
  if (below === 0) return points[0].amplitude;
  if (below < 0) return points[points.length - 1].amplitude;
  const [high, low] = [points[below - 1], points[below]];
  const share = (angle - low.angle) / (high.angle - low.angle);
  return low.amplitude + share * (high.amplitude - low.amplitude);
}

/** (Σ aᵢᵖ)^(1/p). */
export function combinedError(errors: readonly number[], exponent: number): number {
  return errors.reduce((sum, error) => sum + error ** exponent, 0) ** (1 / exponent);
}

/**
 * The image's error in a run of `evaluations` of which some make these errors in INT8: 0 for none.
 */
export function imageError(
  { exponent, floor, conditions }: PrecisionSensitivity,
  errors: readonly number[],
  evaluations: number,
): number {
  if (errors.length === 0) return 0;
  const scaled = floor * Math.sqrt(conditions.steps / evaluations);
  return Math.hypot(scaled, combinedError(errors, exponent));
}

/**
 * PSNR in dB that this model's images will have against those without INT8, on average; infinite
 * for a schedule without INT8.
 */
export function predictPsnr(
  sensitivity: PrecisionSensitivity,
  { sigmas, schedule }: ScheduledRun,
): number {
  const errors = stepErrors(sensitivity, sigmas).filter((_, i) => schedule[i] === 'int8');
  return psnrOfError(imageError(sensitivity, errors, sigmas.length));
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
