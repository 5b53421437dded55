import { z } from 'zod';
import { startStopwatch } from '../../core/stopwatch.ts';
import type { Precision } from '../../quantization/precision-schedule.ts';
import { resolveIsa, resolveThreads } from '../../runtime/native/cpu.ts';
import { KeptResults } from '../kept-results.ts';
import {
  type LayerRanking,
  layerErrorsSchema,
  measureLayerSensitivity,
} from '../layer-sensitivity.ts';
import type { LoadedModel } from '../load.ts';
import { measureStepSensitivity, type StepSensitivity } from '../sensitivity.ts';
import { promptQualitySchema } from '../sensitivity-runs.ts';
import { measureStepTimings, type StepTimings } from '../step-timings.ts';
import type { SweepSampling } from './sweep-points.ts';

/** What probes of a model depend on, and where their results are kept. */
export interface ProbeContext {
  readonly folder: string;
  /** Of the model's files. */
  readonly identity: string;
  readonly sampling: SweepSampling;
  readonly seed: number;
  readonly threads?: number;
  /** Told after every part of the work. */
  readonly onProgress?: (done: number, total: number, seconds: number) => void;
  readonly signal?: AbortSignal;
}

/** `measureStepTimings`, kept: a sweep that goes on or gets more settings compares by the same times. */
export async function keptTimings(
  model: LoadedModel['model'],
  context: ProbeContext,
  precisions: readonly Precision[],
  rounds: number,
): Promise<StepTimings> {
  const { folder, threads, onProgress, signal } = context;
  const identity = { ...identityOf(context), threads: resolveThreads(threads), precisions, rounds };
  const kept = await KeptResults.open(folder, 'timings', identity, secondsOf(precisions.length));
  const known = kept.get(SECONDS);
  if (known) return Object.fromEntries(precisions.map((name, i) => [name, known[i]]));
  const timings = await measureStepTimings(model, {
    ...sizeOf(context),
    prompt: '',
    precisions,
    rounds,
    onRound: onProgress,
    signal,
  });
  await kept.set(
    SECONDS,
    precisions.map((name) => [...timings[name]!]),
  );
  return timings;
}

/** The one result of the timings. */
const SECONDS = 'seconds';

/** Of each precision, as many rounds. */
const secondsOf = (precisions: number) =>
  z
    .array(z.array(z.number().positive().finite()).min(1).max(1000))
    .length(precisions)
    .refine((all) => all.every(({ length }) => length === all[0].length), 'of different lengths');

/** `measureStepSensitivity`, kept prompt by prompt. */
export async function keptStepSensitivity(
  model: LoadedModel['model'],
  context: ProbeContext,
  prompts: readonly string[],
  { steps, blocks }: { readonly steps: number; readonly blocks: number },
): Promise<StepSensitivity> {
  const { folder, seed, onProgress, signal } = context;
  const identity = { ...identityOf(context), seed, steps, blocks, prompts };
  const schema = promptQualitySchema(blocks);
  const kept = await KeptResults.open(folder, 'steps', identity, schema);
  let elapsed = startStopwatch();
  return measureStepSensitivity(model, {
    ...sizeOf(context),
    ...{ prompts, steps, blocks, seed, kept, signal },
    onProgress: (done, total) => {
      onProgress?.(done, total, elapsed());
      elapsed = startStopwatch();
    },
  });
}

/** `measureLayerSensitivity`, kept layer by layer. */
export async function keptLayerSensitivity(
  model: LoadedModel['model'],
  context: ProbeContext,
  prompt: string,
  steps: number,
): Promise<LayerRanking> {
  const { folder, seed, onProgress, signal } = context;
  const identity = { ...identityOf(context), seed, steps, prompt };
  const kept = await KeptResults.open(folder, 'layers', identity, layerErrorsSchema);
  return measureLayerSensitivity(model, {
    ...sizeOf(context),
    ...{ prompt, steps, seed, kept, onProgress, signal },
  });
}

function identityOf(context: ProbeContext) {
  return { model: context.identity, isa: resolveIsa(), ...sizeOf(context) };
}

function sizeOf({ sampling }: ProbeContext) {
  const { guidanceScale, width, height } = sampling;
  return { guidanceScale, width, height };
}
