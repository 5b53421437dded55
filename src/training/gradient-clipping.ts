import { BookendError } from '../core/errors.ts';
import { resultAt, runOnArrays } from '../runtime/native/array-program.ts';
import { sharedPlace } from '../runtime/native/shared-floats.ts';
import type { NamedArrays } from './named-arrays.ts';

/**
 * The Euclidean norm of all gradients as one vector, summed in float64, in an order that depends on
 * their lengths alone.
 *
 * @param gradients arrays of `sharedFloats`
 * @throws BookendError `non-finite`, naming the first gradient that holds NaN or infinity;
 * `invalid-argument`
 */
export async function gradientNorm(gradients: NamedArrays, threads?: number): Promise<number> {
  const instructions = [...gradients].map(([name, gradient], i) => ({
    op: 'squareSum',
    count: gradient.length,
    x: sharedPlace(`gradient ${name}`, gradient),
    out: resultAt(i * Float64Array.BYTES_PER_ELEMENT),
  }));
  const resultBytes = gradients.size * Float64Array.BYTES_PER_ELEMENT;
  const sums = new Float64Array(await runOnArrays({ instructions, resultBytes, threads }));
  // Squares of float32 numbers cannot overflow a float64 sum, so only the numbers themselves can.
  const bad = sums.findIndex((sum) => !Number.isFinite(sum));
  if (bad >= 0) throw nonFinite([...gradients.keys()][bad]);
  return Math.sqrt(sums.reduce((total, sum) => total + sum, 0));
}

/**
 * What to multiply all gradients with so that their global norm is at most `maxNorm` (Pascanu et al.,
 * "On the difficulty of training recurrent neural networks", 2013, section 3.2); the 1e-6 in the
 * denominator is that of torch.nn.utils.clip_grad_norm_.
 *
 * @param norm of `gradientNorm`
 * @param maxNorm positive
 * @returns a float32 number, 1 where nothing is clipped
 * @throws BookendError `invalid-argument`
 */
export function clippingFactor(norm: number, maxNorm: number): number {
  if (!(maxNorm > 0)) {
    throw new BookendError(
      'invalid-argument',
      `Gradients cannot be clipped to the norm ${maxNorm}; give a positive number.`,
    );
  }
  return Math.min(1, Math.fround(maxNorm / (norm + 1e-6)));
}

function nonFinite(name: string): BookendError {
  return new BookendError(
    'non-finite',
    `The gradient of ${name} holds NaN or infinity, so training cannot go on; lower the learning rate and resume from the last checkpoint.`,
  );
}
