import { BookendError } from '../core/errors.ts';
import { resultAt, runOnArrays } from '../runtime/native/array-program.ts';
import { sharedFloats, sharedPlace } from '../runtime/native/shared-floats.ts';
import type { FeatureStatistics } from './feature-statistics.ts';
import { Pauses } from './pauses.ts';

export interface FrechetDistance {
  /** The squared distance, which is what papers call FID. Never negative. */
  readonly distance: number;
  /** Its parts: ‖μ₁ - μ₂‖², and what differs between the covariances. */
  readonly meanTerm: number;
  readonly covarianceTerm: number;
  /** Why the number is too large and is compared only with others of as many images. */
  readonly warning?: string;
}

/**
 * The squared Fréchet distance between normal distributions with these means and covariances (Heusel
 * et al., arXiv 1706.08500, equation 6): ‖μ₁ - μ₂‖² + tr(Σ₁ + Σ₂ - 2 (Σ₁ Σ₂)^½). The last trace is
 * the sum of the roots of the eigenvalues of U Σ₂ Uᵀ, with Σ₁ = Uᵀ U by Cholesky's decomposition with
 * pivoting, in float64: singular covariances need neither the offset nor the complex numbers that a
 * square root of Σ₁ Σ₂ does. Runs off the event loop; does not depend on the number of threads.
 *
 * @throws BookendError `invalid-argument` for statistics of different lengths, `insufficient-memory`
 */
export async function frechetDistance(
  a: FeatureStatistics,
  b: FeatureStatistics,
  { threads }: { readonly threads?: number } = {},
): Promise<FrechetDistance> {
  await requireComparable(a, b);
  const meanTerm = a.mean.reduce((sum, value, i) => sum + (value - b.mean[i]) ** 2, 0);
  const total = trace(a) + trace(b);
  const covarianceTerm = Math.max(0, total - 2 * (await sqrtTrace(a, b, threads)));
  return { distance: meanTerm + covarianceTerm, meanTerm, covarianceTerm, ...warningOf(a, b) };
}

function trace({ covariance, dimensions }: FeatureStatistics): number {
  let sum = 0;
  for (let i = 0; i < dimensions; i++) sum += covariance[i * (dimensions + 1)];
  return sum;
}

/** tr (Σ₁ Σ₂)^½ */
async function sqrtTrace(
  a: FeatureStatistics,
  b: FeatureStatistics,
  threads: number | undefined,
): Promise<number> {
  const instruction = {
    op: 'sqrtTrace',
    n: a.dimensions,
    a: sharedPlace('the first covariance', await sharedDoubles(a.covariance)),
    b: sharedPlace('the second covariance', await sharedDoubles(b.covariance)),
    out: resultAt(0),
  };
  const results = await runOnArrays({ instructions: [instruction], resultBytes: 16, threads });
  return new Float64Array(results)[0];
}

/** Numbers that are looked at, or copied, before the event loop may turn. */
const PIECE = 2 ** 18;

/** A copy in native memory; kernels' memory is known by its floats, two to a double. */
async function sharedDoubles(values: Float64Array): Promise<Float32Array> {
  const shared = sharedFloats(2 * values.length);
  const doubles = new Float64Array(shared.buffer, shared.byteOffset, values.length);
  const pauses = new Pauses();
  for (let at = 0; at < values.length; at += PIECE) {
    doubles.set(values.subarray(at, at + PIECE), at);
    if (pauses.isDue) await pauses.take();
  }
  return shared;
}

async function requireComparable(a: FeatureStatistics, b: FeatureStatistics): Promise<void> {
  for (const { mean, covariance, dimensions } of [a, b]) {
    if (mean.length !== dimensions || covariance.length !== dimensions ** 2) {
      throw new BookendError(
        'invalid-argument',
        `Statistics of ${dimensions} features have ${mean.length} means and ${covariance.length} covariances; give ${dimensions} and ${dimensions ** 2}.`,
      );
    }
    if (!(await isAllFinite(mean)) || !(await isAllFinite(covariance))) {
      throw new BookendError(
        'non-finite',
        'The statistics hold numbers that are not finite; compute them again.',
      );
    }
  }
  if (a.dimensions !== b.dimensions) {
    throw new BookendError(
      'invalid-argument',
      `Statistics of ${a.dimensions} and of ${b.dimensions} features cannot be compared; use one extractor for both.`,
    );
  }
}

async function isAllFinite(values: Float64Array): Promise<boolean> {
  const pauses = new Pauses();
  for (let at = 0; at < values.length; at += PIECE) {
    if (!values.subarray(at, at + PIECE).every(Number.isFinite)) return false;
    if (pauses.isDue) await pauses.take();
  }
  return true;
}

/** A covariance of n images has the rank n - 1 at most. */
function warningOf(a: FeatureStatistics, b: FeatureStatistics): { warning?: string } {
  const counts = [a.count, b.count].filter((count) => count !== undefined);
  const fewest = Math.min(...counts);
  if (counts.length === 0 || fewest > a.dimensions) return {};
  return {
    warning: `${fewest} images are too few for the covariance of ${a.dimensions} features, which has only rank ${fewest - 1}; the distance is too large, by about an amount in proportion to 1 ÷ images (Chong and Forsyth, arXiv 1911.07023), so compare it only with distances of as many images, or use the kernel distance, which has no such bias.`,
  };
}
