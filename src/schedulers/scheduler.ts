import { BookendError } from '../core/errors.ts';
import type { NoiseSchedule } from './noise-schedule.ts';
import type { PredictionType } from './prediction.ts';

/** The samplers by the names that the command line uses. */
export type SchedulerName =
  | 'ddim'
  | 'ddpm'
  | 'pndm'
  | 'euler'
  | 'euler-ancestral'
  | 'dpmpp-2m'
  | 'dpmpp-2m-karras'
  | 'unipc'
  | 'lcm';

/** `length` draws of the standard normal distribution, in the sample's own memory order. */
export type NoiseSource = (length: number) => Float32Array;

export interface PlanOptions {
  /**
   * How many model evaluations to leave out at the start, for image-to-image; 0 by default. What is
   * left must be at least one.
   */
  readonly startStep?: number;
  /**
   * DDIM's η: the share of DDPM's noise that is added at each step, 0 (the default, deterministic)
   * to 1. Other schedulers refuse anything but 0.
   */
  readonly eta?: number;
  /** Images in the sample, outermost; dynamic thresholding looks at each by itself. 1 by default. */
  readonly batchSize?: number;
}

/**
 * A sampler with its noise schedule: immutable, so any number of runs may share it. All options are
 * spelled and behave as in diffusers' scheduler_config.json.
 */
export interface Scheduler {
  readonly name: SchedulerName;
  /** The options in force, defaults filled in. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly predictionType: PredictionType;
  readonly numTrainTimesteps: number;
  readonly noiseSchedule: NoiseSchedule;

  /**
   * Starts a run of `numInferenceSteps` steps. Throws `invalid-argument` when that is not a whole
   * number from 1 to `numTrainTimesteps` or the noise schedule cannot be cut into so many steps.
   */
  plan(numInferenceSteps: number, options?: PlanOptions): SchedulerRun;

  /**
   * A noisy sample as the model saw it in training, whatever the sampler:
   * √ᾱ_t·sample + √(1 − ᾱ_t)·noise. `timestep` is a whole number from 0 to `numTrainTimesteps` − 1.
   */
  addNoise(sample: Float32Array, noise: Float32Array, timestep: number): Float32Array;
}

/**
 * One denoising run: what to give the model at each step and what to make of its answer. It holds
 * the history that multistep methods need, so it serves one sample and its steps go in order.
 */
export interface SchedulerRun {
  /** One entry per model evaluation; not always whole numbers (Euler), and PNDM repeats some. */
  readonly timesteps: readonly number[];
  /** What to multiply standard normal noise by to get the sample of the first step. */
  readonly initNoiseSigma: number;

  /** The sample as the model wants it at this step; the same array where nothing is to be done. */
  scaleModelInput(sample: Float32Array, stepIndex: number): Float32Array;

  /**
   * The sample of the next step. `stepIndex` counts up from 0 by one with every call; anything else
   * throws `invalid-argument`. `noise` is called at most once, and only by stochastic samplers.
   */
  step(
    modelOutput: Float32Array,
    stepIndex: number,
    sample: Float32Array,
    noise: NoiseSource,
  ): Float32Array;

  /** A clean sample with as much noise as samples have at this step: image-to-image, inpainting. */
  addNoise(sample: Float32Array, noise: Float32Array, stepIndex: number): Float32Array;
}

/** What a sampler's own file defines; indices count from the start of the whole schedule. */
export interface RunParts {
  readonly timesteps: readonly number[];
  readonly initNoiseSigma: number;
  scaleModelInput?(sample: Float32Array, index: number): Float32Array;
  step(
    modelOutput: Float32Array,
    index: number,
    sample: Float32Array,
    noise: NoiseSource,
  ): Float32Array;
  addNoise(sample: Float32Array, noise: Float32Array, index: number): Float32Array;
}

/** Wraps a sampler's parts: drops the steps before `startStep` and checks every call. */
export function createRun(parts: RunParts, startStep: number): SchedulerRun {
  const timesteps = parts.timesteps.slice(startStep);
  if (timesteps.length === 0) {
    throw new BookendError(
      'invalid-argument',
      `Starting at step ${startStep} leaves nothing of ${parts.timesteps.length} steps; start earlier.`,
    );
  }
  let nextStep = 0;
  return {
    timesteps,
    initNoiseSigma: parts.initNoiseSigma,
    scaleModelInput(sample, stepIndex) {
      checkStepIndex(stepIndex, timesteps.length);
      return parts.scaleModelInput?.(sample, startStep + stepIndex) ?? sample;
    },
    step(modelOutput, stepIndex, sample, noise) {
      checkStepIndex(stepIndex, timesteps.length);
      checkOrder(stepIndex, nextStep);
      checkLengths(modelOutput, sample);
      // Copies, because multistep samplers keep them while callers may reuse their buffers.
      const previous = parts.step(
        modelOutput.slice(),
        startStep + stepIndex,
        sample.slice(),
        noise,
      );
      nextStep++;
      return previous;
    },
    addNoise(sample, noise, stepIndex) {
      checkStepIndex(stepIndex, timesteps.length);
      checkLengths(noise, sample);
      return parts.addNoise(sample, noise, startStep + stepIndex);
    },
  };
}

function checkStepIndex(stepIndex: number, length: number): void {
  if (Number.isInteger(stepIndex) && stepIndex >= 0 && stepIndex < length) return;
  throw new BookendError(
    'invalid-argument',
    `Step ${stepIndex} is not one of this run's ${length}; pass a whole number from 0 to ${length - 1}.`,
  );
}

function checkOrder(stepIndex: number, expected: number): void {
  if (stepIndex === expected) return;
  throw new BookendError(
    'invalid-argument',
    `Step ${stepIndex} came when step ${expected} was due; take the steps in order, and plan a new run to start over.`,
  );
}

function checkLengths(other: Float32Array, sample: Float32Array): void {
  if (other.length === sample.length) return;
  throw new BookendError(
    'invalid-argument',
    `The sample has ${sample.length} elements and its model output or noise ${other.length}; pass equally many.`,
  );
}
