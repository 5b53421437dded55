import { z } from 'zod';
import { BookendError } from '../core/errors.ts';
import { parseOptions, type SchedulerJson } from './config.ts';
import { type CheckedPlan, defineScheduler } from './define-scheduler.ts';
import {
  divide,
  f32,
  linearCombination,
  scale,
  sqrt32,
  sqrtComplement32,
  type Term,
} from './float32.ts';
import { addNoise, type NoiseSchedule, noiseScheduleOptions } from './noise-schedule.ts';
import { levelFromAlphaCumprod, predictEpsilon } from './prediction.ts';
import type { RunParts, Scheduler } from './scheduler.ts';
import { spacedTimesteps, timestepOptions } from './timesteps.ts';

const { rescale_betas_zero_snr: _, ...betaOptions } = noiseScheduleOptions;

const pndmOptions = z.object({
  ...betaOptions,
  ...timestepOptions('leading'),
  prediction_type: z.enum(['epsilon', 'v_prediction']).default('epsilon'),
  /** Whether to start with one doubled step (PLMS) in place of three Runge–Kutta steps of four evaluations. */
  skip_prk_steps: z.boolean().default(false),
  set_alpha_to_one: z.boolean().default(false),
});

type PndmOptions = z.infer<typeof pndmOptions>;

/** Takes a sample from one timestep to another along the noise direction that `output` gives. */
type Transfer = (
  sample: Float32Array,
  from: number,
  to: number,
  output: Float32Array,
) => Float32Array;

/** A run's model evaluations in order, and what follows from each; `index` counts from its start. */
interface Solver {
  readonly timesteps: readonly number[];
  step(modelOutput: Float32Array, index: number, sample: Float32Array): Float32Array;
}

/**
 * PNDM (Liu et al., "Pseudo Numerical Methods for Diffusion Models on Manifolds", 2022): classical
 * solvers whose every move goes along the curve that DDIM follows (equation 9) instead of a
 * straight line. The linear multistep method (equation 12) needs three earlier answers; they come
 * from Runge–Kutta steps (equation 13), or from lower orders with `skip_prk_steps`.
 */
export function createPndm(json: SchedulerJson): Scheduler {
  return defineScheduler('pndm', parseOptions(pndmOptions, json, 'pndm'), planPndm);
}

function planPndm(config: PndmOptions, schedule: NoiseSchedule, request: CheckedPlan): RunParts {
  const { alphasCumprod } = schedule;
  const { startStep } = request;
  const spaced = spacedTimesteps(config, request.count);
  const stride = Math.floor(config.num_train_timesteps / request.count);
  const transfer = transferAlong(config, alphasCumprod);
  if (!config.skip_prk_steps) refuseRungeKutta(request);
  const { timesteps, step } = config.skip_prk_steps
    ? lowOrderStart(spaced, stride, transfer, startStep)
    : rungeKuttaStart(spaced, stride, transfer);
  return {
    timesteps,
    initNoiseSigma: 1,
    step: (modelOutput, index, sample) => step(modelOutput, index - startStep, sample),
    addNoise: (sample, noise, index) => addNoise(sample, noise, alphasCumprod[timesteps[index]]),
  };
}

/**
 * The multistep method with a start of growing order. The first step is taken twice: the second
 * evaluation, at its end, is averaged with the first one and the step repeated from where it began.
 * With image-to-image the method starts at evaluation `startStep` of the whole schedule.
 */
function lowOrderStart(
  spaced: readonly number[],
  stride: number,
  transfer: Transfer,
  startStep: number,
): Solver {
  const timesteps = spaced.length < 2 ? spaced : [...spaced.slice(0, 2), ...spaced.slice(1)];
  const outputs: Float32Array[] = [];
  let firstSample: Float32Array;
  return {
    timesteps,
    step(modelOutput, index, sample) {
      const timestep = timesteps[startStep + index];
      if (index === 0) firstSample = sample;
      if (index === 1) {
        const average = divide(linearCombination([1, modelOutput], [1, outputs[0]]), 2);
        return transfer(firstSample, timestep + stride, timestep, average);
      }
      remember(outputs, modelOutput);
      return transfer(sample, timestep, timestep - stride, multistep(outputs));
    },
  };
}

/**
 * Three Runge–Kutta steps of four evaluations each — at the start of a step, twice at its middle,
 * at its end — and the multistep method from the fourth timestep on.
 */
function rungeKuttaStart(spaced: readonly number[], stride: number, transfer: Transfer): Solver {
  const half = Math.floor(stride / 2);
  const steps = [0, 1, 2].map((i) => ({ start: spaced[i], end: spaced[i + 1] }));
  const evaluated = steps.flatMap(({ start, end }) => [start, end + half, end + half, end]);
  const timesteps = [...evaluated, ...spaced.slice(3)];
  const outputs: Float32Array[] = [];
  let answers: Float32Array[] = [];
  let startSample: Float32Array;

  const rungeKutta: Solver['step'] = (modelOutput, index, sample) => {
    const { start, end } = steps[Math.floor(index / 4)];
    const stage = index % 4;
    if (stage === 0) {
      startSample = sample;
      answers = [];
      remember(outputs, modelOutput);
    }
    answers.push(modelOutput);
    const weighted = stage < 3 ? modelOutput : weightedAnswers(answers);
    const target = [start - half, end + half, end, end][stage];
    return transfer(startSample, start, target, weighted);
  };

  return {
    timesteps,
    step(modelOutput, index, sample) {
      if (index < evaluated.length) return rungeKutta(modelOutput, index, sample);
      remember(outputs, modelOutput);
      const timestep = timesteps[index];
      return transfer(sample, timestep, timestep - stride, multistep(outputs));
    },
  };
}

function weightedAnswers([first, second, third, fourth]: Float32Array[]): Float32Array {
  return linearCombination([1 / 6, first], [1 / 3, second], [1 / 3, third], [1 / 6, fourth]);
}

/** Keeps the last four answers, the newest at the end. */
function remember(outputs: Float32Array[], output: Float32Array): void {
  outputs.push(output);
  if (outputs.length > 4) outputs.shift();
}

/** The Adams–Bashforth methods of orders 1 to 4: weights from the newest answer back, and divisor. */
const ADAMS_BASHFORTH = [
  { weights: [1], divisor: 1 },
  { weights: [3, -1], divisor: 2 },
  { weights: [23, -16, 5], divisor: 12 },
  { weights: [55, -59, 37, -9], divisor: 24 },
];

function multistep(outputs: readonly Float32Array[]): Float32Array {
  const { weights, divisor } = ADAMS_BASHFORTH[outputs.length - 1];
  const [first, ...rest] = weights.map((w, i): Term => [w, outputs[outputs.length - 1 - i]]);
  return divide(linearCombination(first, ...rest), divisor);
}

/**
 * Equation 9 of the paper, from t to s, with ε the noise in the answer:
 *
 *   x_s = √(ᾱ_s/ᾱ_t)·x_t − (ᾱ_s − ᾱ_t)·ε / (ᾱ_t·√(1 − ᾱ_s) + √(ᾱ_t·(1 − ᾱ_t)·ᾱ_s))
 */
function transferAlong(config: PndmOptions, alphasCumprod: Float32Array): Transfer {
  const finalAlpha = config.set_alpha_to_one ? 1 : alphasCumprod[0];
  return (sample, from, to, output) => {
    const alphaFrom = alphasCumprod[from];
    const alphaTo = to >= 0 ? alphasCumprod[to] : finalAlpha;
    const level = levelFromAlphaCumprod(alphaFrom);
    const epsilon = predictEpsilon(config.prediction_type, output, sample, level);
    const product = f32(f32(alphaFrom * f32(1 - alphaFrom)) * alphaTo);
    const divisor = f32(f32(alphaFrom * sqrtComplement32(alphaTo)) + sqrt32(product));
    const move = divide(scale(epsilon, f32(alphaTo - alphaFrom)), divisor);
    return linearCombination([sqrt32(f32(alphaTo / alphaFrom)), sample], [-1, move]);
  };
}

function refuseRungeKutta({ count, startStep }: CheckedPlan): void {
  if (count < 4) {
    throw new BookendError(
      'invalid-argument',
      `The pndm scheduler was asked for ${count} steps, but its Runge–Kutta start takes 4; ask for more, or set skip_prk_steps.`,
    );
  }
  if (startStep > 0) {
    throw new BookendError(
      'unsupported',
      `The pndm scheduler's Runge–Kutta start cannot begin at step ${startStep} as image-to-image needs; set skip_prk_steps or choose another scheduler.`,
    );
  }
}
