import { BookendError } from '../core/errors.ts';
import { type Summary, summarize } from '../evaluation/statistics.ts';
import type { NoiseLevels } from '../quantization/precision-schedule.ts';
import {
  combinedError,
  coveredAngles,
  errorOfPsnr,
  fitExponent,
  type PrecisionSensitivity,
  psnrOfError,
} from '../quantization/sensitivity.ts';
import { createScheduler } from '../schedulers/index.ts';
import type { Kept } from './kept-results.ts';
import { type LoadedModel, unetOf } from './load.ts';
import { noiseLevels } from './precision-plan.ts';
import { requireNumber, requireWhole } from './request.ts';
import {
  type ComparedRuns,
  measurePrompt,
  type PromptQuality,
  SENSITIVITY_SCHEDULER,
  type StepBlock,
} from './sensitivity-runs.ts';
import { subjectOf } from './sensitivity-subject.ts';

export interface SensitivityRequest {
  /**
   * One at least; the more, the nearer to the average prompt. An unconditional model draws as many
   * images and does not read them.
   */
  readonly prompts: readonly string[];
  /** Of each run, 20 by default; what is found holds for other numbers too. */
  readonly steps?: number;
  /** Into how many blocks to cut a run, each of which is then tried in INT8; 8 by default. */
  readonly blocks?: number;
  /** 7.5 by default. */
  readonly guidanceScale?: number;
  /** Prompt i starts from the noise of seed + i; 0 by default. */
  readonly seed?: number;
  /** Pixels; the model's own size by default. */
  readonly width?: number;
  readonly height?: number;
  /** By number of the prompt: what an earlier run has found, and where to keep what this one finds. */
  readonly kept?: Kept<PromptQuality>;
  /** Told after every model evaluation. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** What INT8 costs at each part of a run, as it was measured and as it is summed up. */
export interface StepSensitivity {
  readonly sensitivity: PrecisionSensitivity;
  /** Of the steps of the run. */
  readonly sigmas: NoiseLevels;
  /** In the order of the steps, of which each is in one block. */
  readonly blocks: readonly BlockQuality[];
  /** dB over the prompts, without INT8, from noise that differs beyond what can be seen. */
  readonly floor: Summary;
  /** dB over the prompts, all steps in INT8. */
  readonly int8: Summary;
}

export interface BlockQuality extends StepBlock {
  /** dB over the prompts against the image without INT8, with this block alone in INT8. */
  readonly psnr: Summary;
}

/** A request with its defaults filled in, and what follows from it. */
interface Measurement extends ComparedRuns {
  /** The last steps first, which matter most: short blocks there. */
  readonly blocks: readonly StepBlock[];
  /** To be called before each prompt with its number. */
  readonly begin: (prompt: number) => void;
}

/**
 * Measures what INT8 costs a quantized model at each part of a run. For every prompt: a run in high
 * precision whose latents are kept; from some of them on, a block of steps in INT8 and the rest in
 * high precision; a run wholly in INT8, which tells how the errors of several steps add up; and one
 * in high precision from a start that differs a little, since high precision rounds as well, and
 * what differs at all comes to differ by as much. That takes about 6 · steps model evaluations.
 *
 * @throws BookendError `invalid-argument` for a model without INT8 or options out of range;
 * `unsupported` for models that only inpaint; `aborted`
 */
export async function measureSensitivity(
  model: LoadedModel['model'],
  request: SensitivityRequest,
): Promise<PrecisionSensitivity> {
  return (await measureStepSensitivity(model, request)).sensitivity;
}

/** `measureSensitivity` with what it goes by. @throws BookendError as that does */
export async function measureStepSensitivity(
  model: LoadedModel['model'],
  request: SensitivityRequest,
): Promise<StepSensitivity> {
  const { prompts, kept } = request;
  const measurement = plan(model, request);
  const { subject, timesteps, blocks } = measurement;
  const seed = requireWhole('seed', request.seed ?? 0, 0, Number.MAX_SAFE_INTEGER / 2);
  const results: PromptQuality[] = [];
  for (const [i, prompt] of prompts.entries()) {
    measurement.begin(i);
    const known = kept?.get(String(i));
    const result = known ?? (await measurePrompt(measurement, blocks, prompt, seed + i));
    if (!known) await kept?.set(String(i), result);
    results.push(result);
  }
  const sigmas = noiseLevels(measurement.scheduler, timesteps);
  const over = (of: (result: PromptQuality) => number) => summarize(results.map(of));
  return {
    sensitivity: sensitivityOf(sigmas, blocks, results, {
      scheduler: SENSITIVITY_SCHEDULER,
      steps: timesteps.length,
      guidanceScale: subject.guidanceScale,
      width: subject.width,
      height: subject.height,
      prompts: prompts.length,
    }),
    sigmas,
    blocks: blocks
      .map((block, i) => ({ ...block, psnr: over((result) => result.blocks[i]) }))
      .reverse(),
    floor: over((result) => result.floor),
    int8: over((result) => result.int8),
  };
}

function plan(model: LoadedModel['model'], request: SensitivityRequest): Measurement {
  const { prompts, onProgress, signal } = request;
  if (prompts.length === 0) {
    throw new BookendError(
      'invalid-argument',
      'There is no prompt to measure the sensitivity with; give at least one.',
    );
  }
  const guidanceScale = requireNumber('guidanceScale', request.guidanceScale ?? 7.5, 0, 1000);
  const subject = subjectOf(model, { ...request, guidanceScale });
  unetOf(model).requireInt8();
  const steps = requireWhole('steps', request.steps ?? 20, 2, 1000);
  const blocks = cut(steps, requireWhole('blocks', request.blocks ?? Math.min(8, steps), 2, steps));
  const scheduler = createScheduler(SENSITIVITY_SCHEDULER, subject.schedulerConfig);
  const each = 3 * steps + blocks.reduce((sum, { first }) => sum + steps - first, 0);
  let done = 0;
  return {
    subject,
    scheduler,
    timesteps: scheduler.plan(steps).timesteps,
    blocks,
    begin: (prompt) => {
      done = prompt * each;
    },
    evaluated: () => onProgress?.(++done, prompts.length * each),
    signal,
  };
}

/** Lengths grow from 1 towards the start like a geometric series. */
function cut(steps: number, count: number): StepBlock[] {
  const blocks: StepBlock[] = [];
  let end = 0;
  for (let i = 0; i < count; i++) {
    const begin = Math.max(end + 1, Math.round(steps ** (i / (count - 1))));
    blocks.push({ first: steps - begin, last: steps - 1 - end });
    end = begin;
  }
  return blocks;
}

/** Averages dB over the prompts, as PSNR is reported. */
function sensitivityOf(
  sigmas: NoiseLevels,
  blocks: readonly StepBlock[],
  results: readonly PromptQuality[],
  conditions: PrecisionSensitivity['conditions'],
): PrecisionSensitivity {
  const meanError = (of: (result: PromptQuality) => number) =>
    errorOfPsnr(results.reduce((sum, result) => sum + of(result), 0) / results.length);
  const floor = meanError((result) => result.floor);
  const int8 = meanError((result) => result.int8);
  const beyondFloor = (error: number) => Math.sqrt(Math.max(0, error ** 2 - floor ** 2));
  const errors = blocks.map(({ last }, i) => {
    const error = meanError((result) => result.blocks[i]);
    // After the last step there is none left to round otherwise.
    return last === sigmas.length - 1 ? error : beyondFloor(error);
  });
  const total = beyondFloor(int8);
  const exponent = fitExponent(errors, total);
  // Where steps together do more harm than the sum of each: none may be foretold too little.
  const combined = combinedError(errors, exponent);
  const excess = combined > 0 ? Math.max(1, total / combined) : 1;
  const angles = sigmas.map(Math.atan);
  const covered = coveredAngles(sigmas);
  const points = blocks.map(({ first, last }, i) => {
    const steps = last - first + 1;
    const within = <T>(values: readonly T[]) => values.slice(first, last + 1);
    const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
    const each = errors[i] / steps ** (1 / exponent);
    return {
      angle: sum(within(angles)) / steps,
      amplitude: (excess * each * steps) / sum(within(covered)),
    };
  });
  return {
    points: points.reverse(),
    exponent,
    floor,
    int8Psnr: psnrOfError(int8),
    conditions,
  };
}
