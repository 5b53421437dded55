import { z } from 'zod';
import { startStopwatch } from '../../core/stopwatch.ts';
import type { Precision } from '../../quantization/precision-schedule.ts';
import { resolveIsa, resolveThreads } from '../../runtime/native/cpu.ts';
import { type ImageTimings, measureImageTimings } from '../image-timings.ts';
import { KeptResults } from '../kept-results.ts';
import {
  type LayerRanking,
  layerErrorsSchema,
  measureLayerSensitivity,
} from '../layer-sensitivity.ts';
import type { LoadedModel } from '../load.ts';
import type { HighPrecision } from '../request.ts';
import { measureStepSensitivity, type StepSensitivity } from '../sensitivity.ts';
import { promptQualitySchema } from '../sensitivity-runs.ts';
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

/** What is timed of an image. */
export interface TimedParts {
  readonly precisions: readonly Precision[];
  /** What text encoder and autoencoder compute in. */
  readonly surroundings: readonly HighPrecision[];
  readonly rounds: number;
}

/**
 * `measureImageTimings`, kept: a sweep that goes on, or gets more settings, compares by the same times.
 *
 * @param load the model with text encoder and autoencoder in this precision; not disposed of
 */
export async function keptTimings(
  model: LoadedModel['model'],
  context: ProbeContext,
  parts: TimedParts,
  load: (precision: HighPrecision) => Promise<LoadedModel['model']>,
): Promise<ImageTimings> {
  const { folder, threads, onProgress, signal } = context;
  const { precisions, surroundings, rounds } = parts;
  const identity = { ...identityOf(context), threads: resolveThreads(threads), ...parts };
  const count = precisions.length + surroundings.length;
  const kept = await KeptResults.open(folder, 'timings', identity, secondsOf(count));
  const known = kept.get(SECONDS);
  if (known) return timingsOf(parts, known);
  const loaded = new Map<HighPrecision, LoadedModel['model']>();
  for (const precision of surroundings) loaded.set(precision, await load(precision));
  const found = await measureImageTimings(model, {
    ...sizeOf(context),
    ...{ prompt: '', precisions, surroundings: loaded, rounds, onRound: onProgress, signal },
  });
  const seconds = [
    ...precisions.map((precision) => [...found.evaluations[precision]!]),
    ...surroundings.map((precision) => [...found.around[precision]!]),
  ];
  await kept.set(SECONDS, seconds);
  return found;
}

/** The one result of the timings. */
const SECONDS = 'seconds';

/** Of each part, as many rounds. */
const secondsOf = (parts: number) =>
  z
    .array(z.array(z.number().min(0).finite()).min(1).max(1000))
    .length(parts)
    .refine((all) => all.every(({ length }) => length === all[0].length), 'of different lengths');

function timingsOf(
  { precisions, surroundings }: TimedParts,
  seconds: readonly (readonly number[])[],
): ImageTimings {
  const around = seconds.slice(precisions.length);
  return {
    evaluations: Object.fromEntries(precisions.map((name, i) => [name, seconds[i]])),
    around: Object.fromEntries(surroundings.map((name, i) => [name, around[i]])),
  };
}

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
