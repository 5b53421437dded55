import { BookendError } from '../core/errors.ts';
import { copyOf, type NamedArrays } from './named-arrays.ts';

/** Defaults are those of diffusers' EMAModel. */
export interface EmaOptions {
  /** The largest share of the average that a step keeps, in [0, 1]. Default 0.9999. */
  readonly decay: number;
  /** The smallest such share once averaging has begun, in [0, `decay`]. Default 0. */
  readonly minDecay: number;
  /** Up to this optimizer step the average is the parameters themselves. Default 0. */
  readonly updateAfterStep: number;
  /**
   * How the share rises with the n-th averaging step: 1 − (1 + n / inverseGamma)^−power, or
   * (1 + n) / (10 + n) when absent.
   */
  readonly warmup?: { readonly inverseGamma: number; readonly power: number };
}

const DEFAULTS: EmaOptions = { decay: 0.9999, minDecay: 0, updateAfterStep: 0 };

/** An exponential moving average of the parameters; `adamWStep` moves it, in place. */
export interface EmaState {
  /** Optimizer steps seen. */
  step: number;
  readonly average: NamedArrays;
}

/** @throws BookendError `invalid-argument` for numbers out of their ranges */
export function emaOptions(options: Partial<EmaOptions> = {}): EmaOptions {
  const complete = { ...DEFAULTS, ...options };
  const { decay, minDecay, updateAfterStep, warmup } = complete;
  const sound =
    decay <= 1 &&
    minDecay >= 0 &&
    minDecay <= decay &&
    Number.isSafeInteger(updateAfterStep) &&
    updateAfterStep >= 0 &&
    (!warmup || (warmup.inverseGamma > 0 && warmup.power > 0));
  if (!sound) {
    throw new BookendError(
      'invalid-argument',
      `The moving average was given ${JSON.stringify(complete)}; 0 ≤ minDecay ≤ decay ≤ 1 must hold, updateAfterStep must be a whole number, and the warm-up's numbers positive.`,
    );
  }
  return complete;
}

export function createEmaState(parameters: NamedArrays): EmaState {
  return { step: 0, average: copyOf(parameters) };
}

/** The share of the average that optimizer step `step`, counted from 1, keeps. */
export function emaDecay(options: EmaOptions, step: number): number {
  const n = step - options.updateAfterStep - 1;
  if (n <= 0) return 0;
  const { warmup } = options;
  const rising = warmup ? 1 - (1 + n / warmup.inverseGamma) ** -warmup.power : (1 + n) / (10 + n);
  return Math.max(options.minDecay, Math.min(rising, options.decay));
}

/** The share of the parameters in the average of the next step, as kernels take it. */
export function nextEmaRate({ step }: EmaState, options: EmaOptions): number {
  return Math.fround(1 - emaDecay(options, step + 1));
}
