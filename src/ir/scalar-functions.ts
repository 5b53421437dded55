/**
 * The error function in float64, from the series with positive terms only (Abramowitz and Stegun,
 * 7.1.6), so that nothing cancels; beyond 6 it is ±1 to double precision.
 */
export function erf(x: number): number {
  if (Number.isNaN(x)) return x;
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let total = x;
  for (let n = 1; Math.abs(term) > Math.abs(total) * 1e-17; n++) {
    term *= (2 * x * x) / (2 * n + 1);
    total += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * total;
}

export function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

/** Rectified linear unit. */
export function relu(x: number): number {
  return Math.max(0, x);
}

/** Sigmoid-weighted linear unit (Elfwing et al., arXiv 1702.03118). */
export function silu(x: number): number {
  return x * sigmoid(x);
}

/** Gaussian error linear unit, x · Φ(x) (arXiv 1606.08415). */
export function gelu(x: number): number {
  return 0.5 * x * (1 + erf(x / Math.SQRT2));
}

/** The sigmoid approximation of GELU that CLIP was trained with. */
export function quickGelu(x: number): number {
  return x * sigmoid(1.702 * x);
}
