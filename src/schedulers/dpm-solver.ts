import { z } from 'zod';
import { parseOptions, type SchedulerJson } from './config.ts';
import { varianceTypes } from './ddpm.ts';
import { type CheckedPlan, defineScheduler } from './define-scheduler.ts';
import { f32, linearCombination, scale, sqrt32, sqrtComplement32, type Term } from './float32.ts';
import { type NoiseSchedule, noiseScheduleOptions } from './noise-schedule.ts';
import {
  limitDenoised,
  predictDenoised,
  predictionOption,
  thresholdingOptions,
} from './prediction.ts';
import type { RunParts, Scheduler } from './scheduler.ts';
import { type SigmaPlan, sigmaOptions, trainingSigmas } from './sigmas.ts';
import {
  remember,
  type SolverLevel,
  solverLevel,
  solverParts,
  solverSigmas,
} from './solver-schedule.ts';
import { roundHalfEven, spacedTimestepsBeforeEnd, timestepOptions } from './timesteps.ts';

const dpmSolverOptions = z.object({
  ...noiseScheduleOptions,
  ...timestepOptions('linspace'),
  ...predictionOption,
  ...thresholdingOptions,
  ...sigmaOptions,
  use_lu_lambdas: z.literal(false).default(false),
  use_flow_sigmas: z.literal(false).default(false),
  algorithm_type: z.literal('dpmsolver++').default('dpmsolver++'),
  solver_order: z.int().min(1).max(3).default(2),
  /** The other solvers' types, in a configuration made for them, mean the default. */
  solver_type: z
    .enum(['midpoint', 'heun', 'logrho', 'bh1', 'bh2'])
    .default('midpoint')
    .transform((type) => (type === 'heun' ? 'heun' : 'midpoint')),
  lower_order_final: z.boolean().default(true),
  euler_at_final: z.boolean().default(false),
  /** Leaves out the noisiest timesteps, whose λ is below this. */
  lambda_min_clipped: z.number().default(-Number.MAX_VALUE),
  variance_type: z.enum(varianceTypes).optional(),
});

type DpmSolverOptions = z.infer<typeof dpmSolverOptions>;

/**
 * DPM-Solver++ multistep (Lu et al., "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion
 * Probabilistic Models", 2022, algorithm 2): the exact solution of the linear part of the
 * probability-flow ODE from s to t, and a Taylor polynomial in λ for the predicted clean sample,
 * its derivatives D_k taken from the last answers; h = λ_t − λ_s:
 *
 *   x_t = σ_t/σ_s·x_s − α_t·(e^{−h} − 1)·D_0 + α_t·((e^{−h} − 1)/h + 1)·D_1
 *         − α_t·((e^{−h} − 1 + h)/h² − 1/2)·D_2
 *
 * At order two, `midpoint` has −½·α_t·(e^{−h} − 1) for the factor of D_1, which agrees with that of
 * `heun`, the one above, to second order in h. "2M" is order two, in multistep form.
 */
export function createDpmSolver(json: SchedulerJson): Scheduler {
  const config = parseOptions(dpmSolverOptions, json, 'dpmpp-2m');
  const name = config.use_karras_sigmas ? 'dpmpp-2m-karras' : 'dpmpp-2m';
  return defineScheduler(name, config, planDpmSolver);
}

function planDpmSolver(
  config: DpmSolverOptions,
  schedule: NoiseSchedule,
  request: CheckedPlan,
): RunParts {
  const plan = dpmSolverSigmas(config, schedule, request);
  const levels = Array.from(plan.sigmas, solverLevel);
  const outputs: Float32Array[] = [];
  return {
    ...solverParts(plan, levels),
    step(modelOutput, index, sample) {
      const predicted = predictDenoised(config.prediction_type, modelOutput, sample, levels[index]);
      remember(outputs, limitDenoised(predicted, config, request.batchSize), config.solver_order);
      const order = Math.min(outputs.length, highestOrder(config, index, plan.timesteps.length));
      return dpmSolverStep(config.solver_type, levels, index, sample, outputs.slice(-order));
    },
  };
}

function dpmSolverSigmas(
  config: DpmSolverOptions,
  schedule: NoiseSchedule,
  { count }: CheckedPlan,
): SigmaPlan {
  const training = trainingSigmas(schedule);
  const last = config.num_train_timesteps - clippedTimesteps(config, schedule);
  const timesteps = spacedTimestepsBeforeEnd(config, count, last);
  // Rounding is left out for the cosine schedule, but timesteps are whole numbers all the same.
  const rounded = config.use_karras_sigmas && config.beta_schedule !== 'squaredcos_cap_v2';
  return solverSigmas(config, training, timesteps, count, {
    toTimestep: rounded ? roundHalfEven : Math.trunc,
    finalSigma: () => training[0],
  });
}

/** How many timesteps have a λ below `lambda_min_clipped`. */
function clippedTimesteps(config: DpmSolverOptions, { alphasCumprod }: NoiseSchedule): number {
  const below = alphasCumprod.filter((alpha) => {
    const lambda = f32(f32(Math.log(sqrt32(alpha))) - f32(Math.log(sqrtComplement32(alpha))));
    return lambda < f32(config.lambda_min_clipped);
  });
  return below.length;
}

/** Lower near the end of short runs, and one where the last step goes to σ = 0, λ = ∞. */
function highestOrder(config: DpmSolverOptions, index: number, length: number): number {
  const short = config.lower_order_final && length < 15;
  if (index === length - 1) {
    const first = config.euler_at_final || short || config.final_sigmas_type === 'zero';
    if (first) return 1;
  }
  return index === length - 2 && short ? 2 : config.solver_order;
}

/** The step from `levels[index]` to the next; the order is the number of `outputs`. */
function dpmSolverStep(
  type: 'heun' | 'midpoint',
  levels: readonly SolverLevel[],
  index: number,
  sample: Float32Array,
  outputs: readonly Float32Array[],
): Float32Array {
  const [from, to] = [levels[index], levels[index + 1]];
  const h = f32(to.lambda - from.lambda);
  const decay = f32(f32(Math.exp(-h)) - 1);
  const slope = f32(to.alpha * f32(f32(decay / h) + 1));
  const terms: Term[] = [[-f32(to.alpha * decay), outputs[outputs.length - 1]]];
  if (outputs.length === 2) {
    const factor = type === 'heun' ? slope : f32(-0.5 * f32(to.alpha * decay));
    terms.push([factor, derivative(levels, index, outputs)]);
  }
  if (outputs.length === 3) {
    const curve = f32(f32(f32(decay + h) / f32(h * h)) - 0.5);
    const [first, second] = derivatives(levels, index, outputs);
    terms.push([slope, first], [-f32(to.alpha * curve), second]);
  }
  return linearCombination([f32(to.sigma / from.sigma), sample], ...terms);
}

/** h·dx̂_0/dλ between the last two of the `outputs` before `levels[index + 1]`. */
function derivative(
  levels: readonly SolverLevel[],
  index: number,
  outputs: readonly Float32Array[],
): Float32Array {
  const [earlier, later] = outputs.slice(-2);
  return scale(linearCombination([1, later], [-1, earlier]), f32(1 / stepRatio(levels, index, 0)));
}

/** D_1 and D_2 by divided differences of the last three answers. */
function derivatives(
  levels: readonly SolverLevel[],
  index: number,
  outputs: readonly Float32Array[],
): [Float32Array, Float32Array] {
  const [earliest, earlier] = outputs;
  const [r0, r1] = [stepRatio(levels, index, 0), stepRatio(levels, index, 1)];
  const near = derivative(levels, index, outputs);
  const far = scale(linearCombination([1, earlier], [-1, earliest]), f32(1 / r1));
  const change = linearCombination([1, near], [-1, far]);
  const sum = f32(r0 + r1);
  return [linearCombination([1, near], [f32(r0 / sum), change]), scale(change, f32(1 / sum))];
}

/** The length in λ of the step `back` + 1 before the one at `index`, over that one's own. */
function stepRatio(levels: readonly SolverLevel[], index: number, back: number): number {
  const h = f32(levels[index + 1].lambda - levels[index].lambda);
  const before = f32(levels[index - back].lambda - levels[index - back - 1].lambda);
  return f32(before / h);
}
