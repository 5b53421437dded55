import { BookendError } from '../core/errors.ts';
import { CONSTANTS, runOnArrays } from '../runtime/native/array-program.ts';
import { requireApart, sharedPlace } from '../runtime/native/shared-floats.ts';
import { type EmaOptions, type EmaState, nextEmaRate } from './ema.ts';
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

export interface AdamWStepOptions {
  /** On the gradients before everything else: what `clippingFactor` gives. Default 1. */
  readonly gradientFactor?: number;
  /** A moving average of the parameters, moved in the same pass over memory. */
  readonly average?: { readonly state: EmaState; readonly options: EmaOptions };
  /** Default: BOOKEND_THREADS, else one for each core. */
  readonly threads?: number;
}

/**
 * One step of AdamW, in place on `parameters` and `state` (Loshchilov and Hutter, "Decoupled Weight
 * Decay Regularization", 2019, algorithm 2; the decay is multiplied by the learning rate, as in
 * torch.optim.AdamW). Every operation is rounded to float32, in PyTorch's order. Runs off the event
 * loop; results do not depend on the number of threads.
 *
 * @param parameters arrays of `sharedFloats`, as those of the state
 * @param gradients of the same names and lengths as the parameters; they stay as they are
 * @param learningRate not negative
 * @throws BookendError `invalid-argument` before anything is changed
 */
export async function adamWStep(
  parameters: NamedArrays,
  gradients: NamedArrays,
  state: AdamWState,
  learningRate: number,
  options: AdamWOptions,
  { gradientFactor = 1, average, threads }: AdamWStepOptions = {},
): Promise<void> {
  if (!(learningRate >= 0 && Number.isFinite(learningRate))) {
    throw new BookendError(
      'invalid-argument',
      `The learning rate is ${learningRate}; it must be a finite number of at least 0.`,
    );
  }
  const { firstMoments, secondMoments } = state;
  const averages = average?.state.average;
  requireSameNames('gradients', gradients, parameters);
  requireSameNames('first moments', firstMoments, parameters);
  requireSameNames('second moments', secondMoments, parameters);
  if (averages) requireSameNames('averages', averages, parameters);
  const written = { parameter: parameters, 'first moment': firstMoments };
  const others = { 'second moment': secondMoments, ...(averages && { average: averages }) };
  requireApart({ ...written, ...others }, { gradient: gradients });
  const instructions = [...parameters].map(([name, parameter]) => {
    const place = (what: string, arrays: NamedArrays) =>
      sharedPlace(`${what} ${name}`, counterpart(`${what}s`, arrays, name, parameter.length));
    return {
      op: 'adamw',
      count: parameter.length,
      hasAverage: averages !== undefined,
      factors: CONSTANTS,
      gradient: place('gradient', gradients),
      parameter: place('parameter', parameters),
      first: place('first moment', firstMoments),
      second: place('second moment', secondMoments),
      ...(averages && { average: place('average', averages) }),
    };
  });
  const rate = average ? nextEmaRate(average.state, average.options) : 0;
  const factors = factorsOf(state.step + 1, learningRate, options);
  const constants = Float32Array.of(gradientFactor, ...factors, rate);
  await runOnArrays({ instructions, constants, threads });
  state.step++;
  if (average) average.state.step++;
}

/**
 * As native/kernels/optimizer/optimizer.h lists them. Computed in float64 and rounded once, as PyTorch
 * does with Python's numbers.
 */
function factorsOf(step: number, learningRate: number, options: AdamWOptions): number[] {
  const { beta1, beta2, epsilon, weightDecay } = options;
  const keep = 1 - learningRate * weightDecay;
  const correction = Math.sqrt(1 - beta2 ** step);
  const stepSize = learningRate / (1 - beta1 ** step);
  return [keep, 1 - beta1, beta2, 1 - beta2, correction, epsilon, stepSize];
}
