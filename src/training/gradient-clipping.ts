import { BookendError } from '../core/errors.ts';
import type { NamedArrays } from './named-arrays.ts';

/**
 * The Euclidean norm of all gradients as one vector, summed in float64.
 *
 * @throws BookendError `non-finite`, naming the first gradient that holds NaN or infinity
 */
export function gradientNorm(gradients: NamedArrays): number {
  let total = 0;
  for (const [name, gradient] of gradients) {
    let sum = 0;
    for (let i = 0; i < gradient.length; i++) sum += gradient[i] * gradient[i];
    // Squares of float32 numbers cannot overflow a float64 sum, so only the numbers themselves can.
    if (!Number.isFinite(sum)) throw nonFinite(name);
    total += sum;
  }
  return Math.sqrt(total);
}

/**
 * Scales all gradients in place by one factor so that their global norm is at most `maxNorm`
 * (Pascanu et al., "On the difficulty of training recurrent neural networks", 2013, section 3.2);
 * the 1e-6 in the denominator is that of torch.nn.utils.clip_grad_norm_.
 *
 * @param maxNorm positive
 * @returns the norm before clipping
 * @throws BookendError `non-finite`, with the gradients left as they are; `invalid-argument`
 */
export function clipGradients(gradients: NamedArrays, maxNorm: number): number {
  if (!(maxNorm > 0)) {
    throw new BookendError(
      'invalid-argument',
      `Gradients cannot be clipped to the norm ${maxNorm}; give a positive number.`,
    );
  }
  const norm = gradientNorm(gradients);
  const factor = Math.fround(maxNorm / (norm + 1e-6));
  if (factor >= 1) return norm;
  for (const gradient of gradients.values()) {
    for (let i = 0; i < gradient.length; i++) gradient[i] *= factor;
  }
  return norm;
}

function nonFinite(name: string): BookendError {
  return new BookendError(
    'non-finite',
    `The gradient of ${name} holds NaN or infinity, so training cannot go on; lower the learning rate and resume from the last checkpoint.`,
  );
}
