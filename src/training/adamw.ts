import { BookendError } from '../core/errors.ts';
import { counterpart, type NamedArrays, requireSameNames, zerosLike } from './named-arrays.ts';

/** Defaults are those of torch.optim.AdamW. */
export interface AdamWOptions {
  /** How much of the first moment stays at each step, in [0, 1). Default 0.9. */
  readonly beta1: number;
  /** The same of the second moment. Default 0.999. */
  readonly beta2: number;
  /** Added to the root of the second moment; not negative. Default 1e-8. */
  readonly epsilon: number;
  /** The share of a parameter that a step of learning rate 1 takes off; not negative. Default 0.01. */
  readonly weightDecay: number;
}

const DEFAULTS: AdamWOptions = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01 };

/** What AdamW remembers between steps; changed in place. */
export interface AdamWState {
  /** Steps done. */
  step: number;
  /** Moving averages of the gradients. */
  readonly firstMoments: NamedArrays;
  /** Moving averages of their squares. */
  readonly secondMoments: NamedArrays;
}

/** @throws BookendError `invalid-argument` for numbers out of their ranges */
export function adamWOptions(options: Partial<AdamWOptions> = {}): AdamWOptions {
  const complete = { ...DEFAULTS, ...options };
  const { beta1, beta2, epsilon, weightDecay } = complete;
  const isShare = (x: number) => x >= 0 && x < 1;
  const isSize = (x: number) => x >= 0 && Number.isFinite(x);
  if (!(isShare(beta1) && isShare(beta2) && isSize(epsilon) && isSize(weightDecay))) {
    throw new BookendError(
      'invalid-argument',
      `AdamW was given beta1 ${beta1}, beta2 ${beta2}, epsilon ${epsilon} and weightDecay ${weightDecay}; the betas must lie in [0, 1), the others must not be negative.`,
    );
  }
  return complete;
}

export function createAdamWState(parameters: NamedArrays): AdamWState {
  return { step: 0, firstMoments: zerosLike(parameters), secondMoments: zerosLike(parameters) };
}

/**
 * One step of AdamW, in place on `parameters` and `state` (Loshchilov and Hutter, "Decoupled Weight
 * Decay Regularization", 2019, algorithm 2; the decay is multiplied by the learning rate, as in
 * torch.optim.AdamW).
 *
 * @param gradients of the same names and lengths as the parameters
 * @param learningRate not negative
 * @throws BookendError `invalid-argument` before anything is changed
 */
export function adamWStep(
  parameters: NamedArrays,
  gradients: NamedArrays,
  state: AdamWState,
  learningRate: number,
  options: AdamWOptions,
): void {
  if (!(learningRate >= 0 && Number.isFinite(learningRate))) {
    throw new BookendError(
      'invalid-argument',
      `The learning rate is ${learningRate}; it must be a finite number of at least 0.`,
    );
  }
  requireSameNames('gradients', gradients, parameters);
  requireSameNames('first moments', state.firstMoments, parameters);
  requireSameNames('second moments', state.secondMoments, parameters);
  state.step++;
  const factors = factorsOf(state.step, learningRate, options);
  for (const [name, parameter] of parameters) {
    const arrayOf = (what: string, arrays: NamedArrays) =>
      counterpart(what, arrays, name, parameter.length);
    update(
      parameter,
      arrayOf('gradients', gradients),
      arrayOf('first moments', state.firstMoments),
      arrayOf('second moments', state.secondMoments),
      factors,
    );
  }
}

interface Factors {
  readonly keep: number;
  readonly newFirst: number;
  readonly keepSecond: number;
  readonly newSecond: number;
  readonly correction: number;
  readonly epsilon: number;
  readonly stepSize: number;
}

/** Computed in float64 and rounded once, as PyTorch does with Python's numbers. */
function factorsOf(step: number, learningRate: number, options: AdamWOptions): Factors {
  const { beta1, beta2, epsilon, weightDecay } = options;
  return {
    keep: Math.fround(1 - learningRate * weightDecay),
    newFirst: Math.fround(1 - beta1),
    keepSecond: Math.fround(beta2),
    newSecond: Math.fround(1 - beta2),
    correction: Math.fround(Math.sqrt(1 - beta2 ** step)),
    epsilon: Math.fround(epsilon),
    stepSize: Math.fround(learningRate / (1 - beta1 ** step)),
  };
}

/** Every operation is rounded to float32, in PyTorch's order. */
function update(
  parameter: Float32Array,
  gradient: Float32Array,
  first: Float32Array,
  second: Float32Array,
  { keep, newFirst, keepSecond, newSecond, correction, epsilon, stepSize }: Factors,
): void {
  const f32 = Math.fround;
  for (let i = 0; i < parameter.length; i++) {
    const g = gradient[i];
    const decayed = f32(parameter[i] * keep);
    // The product is exact in float64, so the sum is rounded like torch.lerp's fused multiply-add.
    const m = f32(first[i] + newFirst * f32(g - first[i]));
    const v = f32(f32(second[i] * keepSecond) + f32(f32(newSecond * g) * g));
    const root = f32(f32(f32(Math.sqrt(v)) / correction) + epsilon);
    first[i] = m;
    second[i] = v;
    parameter[i] = decayed - f32(f32(stepSize * m) / root);
  }
}
