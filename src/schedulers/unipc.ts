import { z } from 'zod';
import { BookendError } from '../core/errors.ts';
import { parseOptions, type SchedulerJson } from './config.ts';
import { type CheckedPlan, defineScheduler } from './define-scheduler.ts';
import { divide, f32, linearCombination, type Term } from './float32.ts';
import { type NoiseSchedule, noiseScheduleOptions } from './noise-schedule.ts';
import {
  limitDenoised,
  predictDenoised,
  predictEpsilon,
  predictionOption,
  thresholdingOptions,
} from './prediction.ts';
import type { RunParts, Scheduler } from './scheduler.ts';
import { sigmaOptions, sigmaRangeOptions, trainingSigmas } from './sigmas.ts';
import {
  remember,
  type SolverLevel,
  solverLevel,
  solverParts,
  solverSigmas,
} from './solver-schedule.ts';
import { roundHalfEven, spacedTimestepsBeforeEnd, timestepOptions } from './timesteps.ts';

const unipcOptions = z.object({
  ...noiseScheduleOptions,
  ...timestepOptions('linspace'),
  ...predictionOption,
  ...thresholdingOptions,
  ...sigmaOptions,
  ...sigmaRangeOptions,
  use_flow_sigmas: z.literal(false).default(false),
  solver_order: z.int().min(1).max(3).default(2),
  /** The other solvers' types, in a configuration made for them, mean the default. */
  solver_type: z
    .enum(['bh1', 'bh2', 'midpoint', 'heun', 'logrho'])
    .default('bh2')
    .transform((type) => (type === 'bh1' ? 'bh1' : 'bh2')),
  /** Whether the polynomial is one for the clean sample, or for the noise. */
  predict_x0: z.boolean().default(true),
  lower_order_final: z.boolean().default(true),
  /** The steps after which the answer does not correct the sample it was made from. */
  disable_corrector: z.array(z.int()).default([]),
  solver_p: z.literal(null).optional(),
});

type UnipcOptions = z.infer<typeof unipcOptions>;

/**
 * UniPC (Zhao et al., "UniPC: A Unified Predictor-Corrector Framework for Fast Sampling of
 * Diffusion Models", 2023: UniP and UniC with B(h)). The predictor extrapolates the last answers to the
 * next sample; the model's answer there is then put to use twice, first by the corrector, which
 * repeats the same step with that answer known.
 */
export function createUnipc(json: SchedulerJson): Scheduler {
  const config = parseOptions(unipcOptions, json, 'unipc');
  refuseInfiniteSteps(config);
  return defineScheduler('unipc', config, planUnipc);
}

function planUnipc(config: UnipcOptions, schedule: NoiseSchedule, request: CheckedPlan): RunParts {
  const timesteps = spacedTimestepsBeforeEnd(config, request.count);
  const training = trainingSigmas(schedule);
  const plan = solverSigmas(config, training, timesteps, request.count, {
    toTimestep: config.use_karras_sigmas ? roundHalfEven : Math.trunc,
    finalSigma: (chosen) => chosen[chosen.length - 1],
  });
  const levels = Array.from(plan.sigmas, solverLevel);
  const outputs: Float32Array[] = [];
  let corrected: Float32Array | undefined;
  let order = 1;

  return {
    ...solverParts(plan, levels),
    step(modelOutput, index, sample) {
      const answer = answerOf(config, modelOutput, sample, levels[index], request.batchSize);
      const correct = corrected !== undefined && !config.disable_corrector.includes(index - 1);
      corrected =
        correct && corrected
          ? move(config, levels, index - 1, corrected, outputs.slice(-order), answer)
          : sample;
      remember(outputs, answer, config.solver_order);
      const left = config.lower_order_final ? levels.length - 1 - index : config.solver_order;
      order = Math.min(outputs.length, left);
      return move(config, levels, index, corrected, outputs.slice(-order));
    },
  };
}

/** What the polynomial interpolates: the clean sample or the noise. */
function answerOf(
  config: UnipcOptions,
  modelOutput: Float32Array,
  sample: Float32Array,
  level: SolverLevel,
  batchSize: number,
): Float32Array {
  if (!config.predict_x0) return predictEpsilon(config.prediction_type, modelOutput, sample, level);
  const denoised = predictDenoised(config.prediction_type, modelOutput, sample, level);
  return limitDenoised(denoised, config, batchSize);
}

/** A divided difference (m_k − m_0)/r_k, where m_k was found r_k steps ahead of m_0. */
interface Difference {
  readonly ratio: number;
  readonly vector: Float32Array;
}

/**
 * Moves the sample from `levels[index]` to the next with the answers up to the former, the newest
 * last, and `ahead`, the answer at the latter, if it is known:
 *
 *   x_t = σ_t/σ_s·x_s − α_t·(e^{−h} − 1)·m_0 − α_t·B(h)·Σ_k ρ_k·(m_k − m_0)/r_k
 *
 * or, where answers are noise, the same with α and σ exchanged and h for −h.
 */
function move(
  config: UnipcOptions,
  levels: readonly SolverLevel[],
  index: number,
  sample: Float32Array,
  outputs: readonly Float32Array[],
  ahead?: Float32Array,
): Float32Array {
  const [from, to] = [levels[index], levels[index + 1]];
  const h = f32(to.lambda - from.lambda);
  const latest = outputs[outputs.length - 1];
  const differences: Difference[] = [];
  for (let back = 1; back < outputs.length; back++) {
    const ratio = f32(f32(levels[index - back].lambda - from.lambda) / h);
    const change = linearCombination([1, outputs[outputs.length - 1 - back]], [-1, latest]);
    differences.push({ ratio, vector: divide(change, ratio) });
  }
  if (ahead) {
    differences.push({ ratio: 1, vector: linearCombination([1, ahead], [-1, latest]) });
  }

  const exponent = config.predict_x0 ? -h : h;
  const growth = f32(Math.expm1(exponent));
  const [carry, factor] = config.predict_x0
    ? [f32(to.sigma / from.sigma), to.alpha]
    : [f32(to.alpha / from.alpha), to.sigma];
  const strength = f32(factor * (config.solver_type === 'bh1' ? exponent : growth));
  const weights = differenceWeights(config.solver_type, exponent, differences);
  const rest = differences.map(({ vector }, k): Term => [-f32(strength * weights[k]), vector]);
  return linearCombination([carry, sample], [-f32(factor * growth), latest], ...rest);
}

/**
 * The ρ that make the step exact for polynomials (the paper's order conditions): Σ_k ρ_k·r_k^{i−1} =
 * i!·φ_{i+1}(h)·h/B(h). A lone difference gets ½, which is as accurate.
 */
function differenceWeights(
  type: 'bh1' | 'bh2',
  exponent: number,
  differences: readonly Difference[],
): number[] {
  if (differences.length === 1) return [0.5];
  const growth = f32(Math.expm1(exponent));
  const divisor = type === 'bh1' ? exponent : growth;
  const matrix: number[][] = [];
  const right: number[] = [];
  let phi = f32(f32(growth / exponent) - 1);
  let factorial = 1;
  for (let i = 1; i <= differences.length; i++) {
    matrix.push(differences.map(({ ratio }) => f32(ratio ** (i - 1))));
    right.push(f32(f32(phi * factorial) / divisor));
    factorial *= i + 1;
    phi = f32(f32(phi / exponent) - f32(1 / factorial));
  }
  return solveLinear(matrix, right);
}

/** Gaussian elimination with partial pivoting; at most three unknowns here. */
function solveLinear(matrix: readonly number[][], right: readonly number[]): number[] {
  const rows = matrix.map((row, i) => [...row, right[i]]);
  const size = rows.length;
  for (let column = 0; column < size; column++) {
    const pivots = rows.slice(column).map((row) => Math.abs(row[column]));
    const pivot = column + pivots.indexOf(Math.max(...pivots));
    [rows[column], rows[pivot]] = [rows[pivot], rows[column]];
    for (let row = 0; row < size; row++) {
      if (row === column) continue;
      const ratio = rows[row][column] / rows[column][column];
      rows[row] = rows[row].map((value, k) => value - ratio * rows[column][k]);
    }
  }
  return rows.map((row, i) => row[size] / row[i]);
}

/** The last step to σ = 0 is infinitely long in λ, which only one kind of step survives. */
function refuseInfiniteSteps(config: UnipcOptions): void {
  if (config.final_sigmas_type !== 'zero') return;
  const highOrder = !config.lower_order_final && config.solver_order > 1;
  if (config.predict_x0 && !highOrder) return;
  const option = highOrder ? 'lower_order_final' : 'predict_x0';
  throw new BookendError(
    'unsupported',
    `The unipc scheduler has ${option} = false, with which it cannot end at no noise; set final_sigmas_type to 'sigma_min'.`,
  );
}
