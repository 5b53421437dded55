import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { BookendError } from '../core/errors.ts';
import { SINGLE_FILE } from '../pipelines/model-parts.ts';
import type { PreparationEvent, StepEvent, TrainingEvent } from '../training/training-event.ts';
import type { TrainingOptions } from '../training/training-options.ts';
import { interruptSignal } from './interrupt.ts';
import { note, print, printJson } from './output.ts';
import { createProgress, type Progress } from './progress.ts';
import { writeTrainingCurve } from './training-curve.ts';
import { TrainingLog, type TrainingRecord } from './training-log.ts';

export interface TrainingRunSettings {
  /** The folder that is made; log and curve lie in it. */
  readonly out: string;
  readonly training: TrainingOptions;
  /** For the page: names and values. */
  readonly settings: readonly (readonly [name: string, value: string])[];
  /** The command that takes the run up again. */
  readonly resumeCommand: string;
}

const PHASES: Record<PreparationEvent['phase'], { label: string; unit: string }> = {
  calibrating: { label: 'Calibrating', unit: 'step' },
  quantizing: { label: 'Quantizing', unit: 'layer' },
  encoding: { label: 'Encoding', unit: 'image' },
  trajectories: { label: 'Sampling', unit: 'step' },
  measuring: { label: 'Measuring', unit: 'step' },
};

/** Steps whose mean loss is shown beside the last one, which depends most on its timesteps. */
const RECENT = 20;

/**
 * Whether a run that is to be gone on with has ended already, perhaps a moment before it was killed;
 * says so. A loop that tries again until it succeeds then ends.
 */
export function isFinished(out: string, { resume, json }: FinishedOptions): boolean {
  const isThere = (file: string) => existsSync(join(out, file));
  const isModel = isThere('model_index.json') || isThere(SINGLE_FILE);
  if (!resume || !isModel || isThere('training.safetensors')) return false;
  note(`${out} is finished, so there is nothing to go on with; name another folder to train again`);
  if (json) printJson({ out });
  else print(out);
  return true;
}

interface FinishedOptions {
  readonly resume?: boolean;
  readonly json?: boolean;
}

/**
 * Runs a training with everything that a person sees of it: progress on stderr, `train.jsonl`,
 * `train.html`, and, where it ends before its time, how to go on.
 *
 * @param train given a listener and a signal that the first Ctrl-C fires
 * @throws BookendError as `train` does, and as writing log and curve does
 */
export async function runTraining<Report>(
  settings: TrainingRunSettings,
  train: (watch: {
    readonly onEvent: (event: TrainingEvent) => void;
    readonly signal: AbortSignal;
  }) => Promise<Report>,
): Promise<Report> {
  const run = new TrainingRun(settings);
  const interrupt = interruptSignal(() => run.announceStop());
  try {
    const report = await train({ onEvent: (event) => run.hear(event), signal: interrupt.signal });
    await run.finish();
    return report;
  } catch (error) {
    throw await run.explain(error);
  } finally {
    run.close();
    interrupt.dispose();
  }
}

class TrainingRun {
  readonly #settings: TrainingRunSettings;
  readonly #bars = new Map<string, Progress>();
  #log: TrainingLog | undefined;
  #checkpoint = 0;
  /** The page under way; its failure is reported with the next event or at the end. */
  #page: Promise<void> = Promise.resolve();
  #pageError: unknown;

  constructor(settings: TrainingRunSettings) {
    this.#settings = settings;
  }

  hear(event: TrainingEvent): void {
    if (this.#pageError) throw this.#pageError;
    switch (event.kind) {
      case 'preparing':
        this.#showPreparation(event);
        break;
      case 'resumed':
        this.#checkpoint = event.step;
        note(`Going on after step ${event.step} of ${this.#settings.training.steps}`);
        this.#openLog(event.step);
        break;
      case 'step':
        this.#recordStep(event);
        break;
      case 'checkpoint':
        this.#checkpoint = event.step;
        this.#writePage();
        break;
    }
  }

  announceStop(): void {
    const what = this.#log ? 'Finishing the step and storing the state' : 'Stopping';
    note(`\n${what}; Ctrl-C once more ends at once`);
  }

  async finish(): Promise<void> {
    if (this.#log) this.#writePage();
    await this.#page;
    if (this.#pageError) throw this.#pageError;
    note(`${join(this.#settings.out, 'train.html')} shows how it went`);
  }

  /** What to throw instead of `error`: the same, or for an interrupt how to go on. */
  async explain(error: unknown): Promise<unknown> {
    this.#finishBars();
    const { steps } = this.#settings.training;
    if (this.#log && !this.#pageError) this.#writePage();
    await this.#page;
    const interrupted = error instanceof BookendError && error.code === 'aborted';
    if (!interrupted) {
      if (this.#checkpoint > 0) note(`The state after step ${this.#checkpoint} is stored.`);
      return error;
    }
    const where =
      this.#checkpoint > 0
        ? `after step ${this.#checkpoint} of ${steps}, with its state stored`
        : 'before the first step';
    return new BookendError(
      'aborted',
      `Stopped ${where}; go on with \`${this.#settings.resumeCommand}\`.`,
      { cause: error },
    );
  }

  close(): void {
    this.#log?.close();
    this.#log = undefined;
  }

  #showPreparation({ phase, done, total, seconds }: PreparationEvent): void {
    const { label, unit } = PHASES[phase];
    this.#bar(label, total, unit).update(done, seconds);
    if (done === total) this.#finishBars();
  }

  #recordStep(event: StepEvent): void {
    const log = this.#log ?? this.#openLog(event.step - 1);
    const { kind, steps, ...record } = event;
    log.append(record);
    this.#bar('Training', steps, 'step').update(
      event.step,
      event.seconds,
      describeLoss(log.records),
    );
    if (event.step === steps) this.#finishBars();
  }

  #openLog(stepsDone: number): TrainingLog {
    const path = join(this.#settings.out, 'train.jsonl');
    this.#log = TrainingLog.open(path, stepsDone);
    if (stepsDone > 0 && this.#log.records.length === 0) {
      note(`${path} is not there; it begins with step ${stepsDone + 1}`);
    }
    return this.#log;
  }

  /** One after another, since they have one name. */
  #writePage(): void {
    const { out, training, settings } = this.#settings;
    const records = this.#log?.records.slice() ?? [];
    const { steps, clipNorm } = training;
    const checkpoint = this.#checkpoint;
    const curve = { title: basename(out), steps, clipNorm, settings, checkpoint, records };
    this.#page = this.#page
      .then(() => writeTrainingCurve(join(out, 'train.html'), curve))
      .catch((error) => {
        this.#pageError ??= error;
      });
  }

  #bar(label: string, total: number, unit: string): Progress {
    const bar = this.#bars.get(label) ?? createProgress(label, total, unit);
    this.#bars.set(label, bar);
    return bar;
  }

  #finishBars(): void {
    for (const bar of this.#bars.values()) bar.finish();
    this.#bars.clear();
  }
}

function describeLoss(records: readonly TrainingRecord[]): string {
  const recent = records.slice(-RECENT);
  const mean = recent.reduce((sum, { loss }) => sum + loss, 0) / recent.length;
  const last = recent[recent.length - 1].loss;
  return `loss ${last.toPrecision(3)} (mean of ${recent.length}: ${mean.toPrecision(3)})`;
}
