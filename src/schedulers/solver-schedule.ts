import { f32, linearCombination, sqrt32 } from './float32.ts';
import type { NoiseLevel } from './prediction.ts';
import type { RunParts } from './scheduler.ts';
import {
  chosenSigmas,
  interpolateSigma,
  type SigmaOptions,
  type SigmaPlan,
  type SigmaRange,
  sigmaPlan,
  timestepOfSigma,
} from './sigmas.ts';

/**
 * What the solvers in λ = log(α/σ), half the log signal-to-noise ratio, share: DPM-Solver++ and
 * UniPC. They work on the variance-preserving x = α·x_0 + σ·ε, α² + σ² = 1.
 */
export interface SolverLevel extends NoiseLevel {
  readonly lambda: number;
}

/** The level whose σ/α is `sigma`; λ is infinite where that is 0. */
export function solverLevel(sigma: number): SolverLevel {
  const alpha = f32(1 / sqrt32(f32(f32(sigma * sigma) + 1)));
  const scaled = f32(sigma * alpha);
  return { alpha, sigma: scaled, lambda: f32(f32(Math.log(alpha)) - f32(Math.log(scaled))) };
}

export interface SolverSigmaOptions extends SigmaOptions, SigmaRange {
  readonly final_sigmas_type: 'zero' | 'sigma_min';
}

/** Where two samplers' references differ in how they turn chosen noise levels into a plan. */
export interface ChosenSigmaRules {
  /** To a whole timestep, which is what the U-Net gets. */
  toTimestep(fraction: number): number;
  /** What `final_sigmas_type` 'sigma_min' ends a chosen schedule with. */
  finalSigma(chosen: readonly number[]): number;
}

/**
 * The noise levels at `timesteps`, or, if the options choose levels themselves (between the ends of
 * training's), `count` of those and the timesteps nearest to them.
 */
export function solverSigmas(
  options: SolverSigmaOptions,
  training: Float32Array,
  timesteps: readonly number[],
  count: number,
  rules: ChosenSigmaRules,
): SigmaPlan {
  const zero = options.final_sigmas_type === 'zero';
  const chosen = chosenSigmas(options, training[training.length - 1], training[0], count);
  if (chosen === undefined) {
    const sigmas = timesteps.map((timestep) => interpolateSigma(training, timestep));
    return sigmaPlan(timesteps, sigmas, zero ? 0 : training[0]);
  }
  const logSigmas = training.map(Math.log);
  const nearest = chosen.map((sigma) => rules.toTimestep(timestepOfSigma(sigma, logSigmas)));
  return sigmaPlan(nearest, chosen, zero ? 0 : rules.finalSigma(chosen));
}

/** The parts of a run that follow from the plan alone. */
export function solverParts({ timesteps }: SigmaPlan, levels: readonly SolverLevel[]) {
  return {
    timesteps,
    initNoiseSigma: 1,
    addNoise: (sample: Float32Array, noise: Float32Array, index: number) =>
      linearCombination([levels[index].alpha, sample], [levels[index].sigma, noise]),
  } satisfies Omit<RunParts, 'step'>;
}

/** Keeps the last `most` answers of the model, the newest at the end. */
export function remember(outputs: Float32Array[], output: Float32Array, most: number): void {
  outputs.push(output);
  if (outputs.length > most) outputs.shift();
}
