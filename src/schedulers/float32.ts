/**
 * Arithmetic that rounds to float32 after every single operation. PyTorch computes a scheduler's
 * coefficients and samples that way, and differences of nearly equal numbers (1 − ᾱ_t/ᾱ_s between
 * neighbouring timesteps, say) keep only few of float32's digits; computing them in float64 would
 * be more exact and yet miss the reference by far more than 1e-6.
 */

/** Rounds to float32. A float64 operation on float32 operands, rounded, is the float32 operation. */
export const f32 = Math.fround;

export function sqrt32(x: number): number {
  return f32(Math.sqrt(x));
}

/** √(1 − x), the noise's share where x is the signal's power. */
export function sqrtComplement32(x: number): number {
  return sqrt32(f32(1 - x));
}

export type Term = readonly [coefficient: number, vector: Float32Array];

/** Σ coefficient·vector, from left to right. */
export function linearCombination(first: Term, ...rest: readonly Term[]): Float32Array {
  const sum = scale(first[1], first[0]);
  for (const [coefficient, vector] of rest) {
    const factor = f32(coefficient);
    for (let i = 0; i < sum.length; i++) sum[i] += f32(factor * vector[i]);
  }
  return sum;
}

export function scale(vector: Float32Array, factor: number): Float32Array {
  const rounded = f32(factor);
  return vector.map((x) => rounded * x);
}

export function divide(vector: Float32Array, divisor: number): Float32Array {
  const rounded = f32(divisor);
  return vector.map((x) => x / rounded);
}
