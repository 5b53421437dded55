import { BookendError } from '../../core/errors.ts';
import type { FeatureStatistics } from '../../evaluation/feature-statistics.ts';
import { type NpyArray, parseNpy } from '../../io/npy.ts';
import { openZip } from '../../io/zip.ts';

/** Means and covariances computed in different ways agree to this, relative to the largest one. */
const TOLERANCE = 1e-6;

/**
 * Statistics of a set as pytorch-fid stores them: a NumPy archive with `mu` [dimensions] and `sigma`
 * [dimensions, dimensions], compressed or not.
 *
 * @throws BookendError `not-found`, `io`, `invalid-checkpoint`; `unsupported` for arrays of objects
 */
export async function readStatistics(path: string): Promise<FeatureStatistics> {
  const archive = await openZip(path);
  const missing = ['mu.npy', 'sigma.npy'].filter((name) => !archive.names.includes(name));
  if (missing.length > 0) {
    throw invalid(path, `has no ${missing.join(' and no ')}`);
  }
  const read = async (name: string) => parseNpy(await archive.read(name), `${name} in ${path}`);
  const [mu, sigma] = [await read('mu.npy'), await read('sigma.npy')];
  const [dimensions] = mu.shape;
  const isSquare = sigma.shape.length === 2 && sigma.shape.every((n) => n === dimensions);
  if (mu.shape.length !== 1 || !isSquare || dimensions === 0) {
    throw invalid(path, `has mu of shape (${mu.shape}) and sigma of shape (${sigma.shape})`);
  }
  requireCovariance(sigma, path);
  return { dimensions, mean: mu.data, covariance: sigma.data };
}

/** Of finite numbers, symmetric and without variances below zero. */
function requireCovariance({ data, shape: [n] }: NpyArray, path: string): void {
  let largest = 0;
  for (let i = 0; i < n; i++) largest = Math.max(largest, data[i * (n + 1)]);
  for (let i = 0; i < n; i++) {
    const isVariance = data[i * (n + 1)] >= -TOLERANCE * largest;
    for (let j = 0; j <= i; j++) {
      const off = Math.abs(data[i * n + j] - data[j * n + i]);
      if (isVariance && off <= TOLERANCE * largest) continue;
      throw invalid(path, `has a sigma that is no covariance, at row ${i} and column ${j}`);
    }
  }
}

function invalid(path: string, fault: string): BookendError {
  return new BookendError(
    'invalid-checkpoint',
    `${path} ${fault}; give an .npz file of statistics as pytorch-fid saves it, with mu of shape (n,) and sigma of shape (n, n).`,
  );
}
