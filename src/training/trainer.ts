import { BookendError } from '../core/errors.ts';
import { startStopwatch } from '../core/stopwatch.ts';
import { type AdamWState, adamWOptions, adamWStep, createAdamWState } from './adamw.ts';
import {
  loadTrainingState,
  saveTrainingState,
  type TrainingProgress,
  type TrainingState,
} from './checkpoint-state.ts';
import { createEmaState, emaOptions } from './ema.ts';
import { GradientAccumulation } from './gradient-accumulation.ts';
import { clippingFactor, gradientNorm } from './gradient-clipping.ts';
import { learningRateAt } from './learning-rate.ts';
import { copyOf, type NamedArrays } from './named-arrays.ts';
import type { TrainingEvent } from './training-event.ts';
import { rateScheduleOf, type TrainingOptions } from './training-options.ts';

/** Means over the samples of a batch. */
export interface BatchLosses {
  readonly loss: number;
  readonly targetLoss?: number;
  readonly teacherLoss?: number;
}

/** What is trained: parameters, and gradients of a loss over batches that it draws itself. */
export interface TrainingTask {
  /** Arrays of `sharedFloats`, changed in place by the loop. */
  readonly parameters: NamedArrays;
  /** Of the same names and lengths, arrays of `sharedFloats` too. */
  readonly gradients: NamedArrays;
  /**
   * Draws a batch and leaves its gradients in `gradients`.
   *
   * @param step optimizer steps done before
   */
  computeGradients(step: number): Promise<BatchLosses>;
  /** After each optimizer step: brings what follows from the parameters up to date. */
  project?(): void;
  /** Where draws and data stand. */
  progress(): TrainingProgress;
  /** Copies of whatever else a run keeps. */
  extra(): NamedArrays;
  /** Goes on from what `progress` and `extra` gave. */
  restore(progress: TrainingProgress, extra: NamedArrays): void;
}

export interface TrainingRun {
  /** The file of the state. */
  readonly path: string;
  /** What the run depends on and does not change. */
  readonly identity: string;
  /** Whether to go on from the file at `path`. */
  readonly resume: boolean;
  readonly onEvent?: (event: TrainingEvent) => void;
  /** Aborted: the step under way is finished and the state stored, which is then the error. */
  readonly signal?: AbortSignal;
}

/** What training gives. */
export interface TrainedState extends TrainingState {
  /** The moving average where one is kept, else the parameters. */
  readonly result: NamedArrays;
}

/**
 * The training loop: gradients, clipping, AdamW, moving average, and the state on disk every so often.
 * Stopped at any point and resumed, it goes on bit for bit.
 *
 * @throws BookendError `aborted` once the state is stored; `non-finite` for a loss or a gradient that is
 * not a number, and `io` for a state that cannot be written, with the last state on disk as it was;
 * as `loadTrainingState` does
 */
export async function train(
  task: TrainingTask,
  options: TrainingOptions,
  run: TrainingRun,
): Promise<TrainedState> {
  const { parameters } = task;
  const state: TrainingState = {
    parameters,
    optimizer: createAdamWState(parameters),
    ...(options.emaDecay !== null && { ema: createEmaState(parameters) }),
  };
  if (run.resume) await takeUp(task, state, run);
  const loop = new Loop(task, options, state);
  let stored = run.resume ? state.optimizer.step : -1;
  const store = async () => {
    const elapsed = startStopwatch();
    const { step } = state.optimizer;
    const complete = { ...state, extra: task.extra() };
    await saveTrainingState(run.path, complete, task.progress(), run.identity);
    stored = step;
    run.onEvent?.({ kind: 'checkpoint', step, path: run.path, seconds: elapsed() });
  };
  while (state.optimizer.step < options.steps) {
    if (run.signal?.aborted) await stopHere(state.optimizer, stored, store, run);
    run.onEvent?.(await loop.step());
    const { step } = state.optimizer;
    if (step % options.checkpointEvery === 0 || step === options.steps) await store();
  }
  return { ...state, result: state.ema?.average ?? parameters };
}

async function takeUp(task: TrainingTask, state: TrainingState, run: TrainingRun): Promise<void> {
  const extra = copyOf(task.extra());
  const progress = await loadTrainingState(run.path, { ...state, extra }, run.identity);
  task.restore(progress, extra);
  run.onEvent?.({ kind: 'resumed', step: state.optimizer.step });
}

async function stopHere(
  { step }: AdamWState,
  stored: number,
  store: () => Promise<void>,
  { path }: TrainingRun,
): Promise<never> {
  if (stored < step) await store();
  throw new BookendError(
    'aborted',
    `Training stopped after ${step} steps; its state is in ${path}, and the same command with --resume (\`resume: true\`) goes on from there.`,
  );
}

/** One optimizer step after the other. */
class Loop {
  readonly #task: TrainingTask;
  readonly #options: TrainingOptions;
  readonly #state: TrainingState;
  readonly #accumulation: GradientAccumulation | undefined;

  constructor(task: TrainingTask, options: TrainingOptions, state: TrainingState) {
    this.#task = task;
    this.#options = options;
    this.#state = state;
    const { accumulation } = options;
    if (accumulation > 1) {
      this.#accumulation = new GradientAccumulation(task.parameters, accumulation);
    }
  }

  async step(): Promise<TrainingEvent> {
    const elapsed = startStopwatch();
    const { optimizer, ema } = this.#state;
    const { clipNorm, weightDecay, emaDecay, learningRate: peak, steps } = this.#options;
    const { losses, gradients } = await this.#gradients(optimizer.step);
    const norm = await gradientNorm(gradients);
    const learningRate = learningRateAt(rateScheduleOf(this.#options), peak, optimizer.step);
    const { parameters } = this.#task;
    const average =
      ema && emaDecay !== null
        ? { state: ema, options: emaOptions({ decay: emaDecay }) }
        : undefined;
    await adamWStep(parameters, gradients, optimizer, learningRate, adamWOptions({ weightDecay }), {
      gradientFactor: clippingFactor(norm, clipNorm),
      average,
    });
    this.#task.project?.();
    const { step } = optimizer;
    const seconds = elapsed();
    return { kind: 'step', step, steps, ...losses, gradientNorm: norm, learningRate, seconds };
  }

  /** Over all batches of one optimizer step. */
  async #gradients(
    step: number,
  ): Promise<{ readonly losses: BatchLosses; readonly gradients: NamedArrays }> {
    const { accumulation } = this.#options;
    const parts: BatchLosses[] = [];
    for (;;) {
      const losses = await this.#task.computeGradients(step);
      requireFinite(losses, step);
      parts.push(losses);
      const { gradients } = this.#task;
      const mean = this.#accumulation ? await this.#accumulation.add(gradients) : gradients;
      if (mean && parts.length === accumulation) return { losses: meanOf(parts), gradients: mean };
    }
  }
}

function meanOf(parts: readonly BatchLosses[]): BatchLosses {
  const mean = (name: keyof BatchLosses) =>
    parts.reduce((sum, part) => sum + part[name]!, 0) / parts.length;
  const [{ targetLoss, teacherLoss }] = parts;
  return {
    loss: mean('loss'),
    ...(targetLoss !== undefined && { targetLoss: mean('targetLoss') }),
    ...(teacherLoss !== undefined && { teacherLoss: mean('teacherLoss') }),
  };
}

function requireFinite({ loss }: BatchLosses, step: number): void {
  if (Number.isFinite(loss)) return;
  throw new BookendError(
    'non-finite',
    `The loss of step ${step + 1} is ${loss}, so training cannot go on; what was stored before is as it was: resume from it, or start again with a lower learning rate.`,
  );
}
