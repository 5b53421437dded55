import { join } from 'node:path';
import { BookendError, throwIfAborted } from '../../core/errors.ts';
import type { Image } from '../../io/image-data.ts';
import { formatParameters, type ParametersText } from '../../io/image-parameters.ts';
import { writePng } from '../../io/png.ts';
import type { PromptEntry } from '../../io/prompts.ts';
import { formatSchedule } from '../../quantization/precision-schedule.ts';
import { resolveIsa } from '../../runtime/native/cpu.ts';
import type { SchedulerName } from '../../schedulers/index.ts';
import type { LoadedModel } from '../load.ts';
import { prepareResultFolder } from '../output-folder.ts';
import { type GenerationResult, MAX_IMAGES, requireWhole } from '../request.ts';
import { textToImage } from '../text-to-image.ts';
import { unconditional } from '../unconditional.ts';
import {
  formatRecord,
  type ImageRecord,
  type ImageSettings,
  RECORD_KEYWORD,
  readRecord,
  requireSameSettings,
} from './image-record.ts';
import type { ModelSource } from './model-source.ts';

/** How every image of a set is drawn; defaults are those of the pipelines. */
export interface SamplingSettings {
  readonly numInferenceSteps: number;
  readonly guidanceScale: number;
  /** Instead of the model's own. */
  readonly scheduler?: SchedulerName;
  readonly eta?: number;
  readonly negativePrompt?: string;
  readonly clipSkip?: number;
  readonly width?: number;
  readonly height?: number;
}

export interface ImageSetPlan {
  /** An image of each; without a prompt for models that take none. */
  readonly entries: readonly (PromptEntry | NoPrompt)[];
  /** Image i has the seed `seed` + i, unless its entry names one. */
  readonly seed: number;
  readonly sampling: SamplingSettings;
}

/** What is to be drawn by a model that draws from noise alone. */
export type NoPrompt = Omit<PromptEntry, 'prompt'> & { readonly prompt?: undefined };

export interface DrawnImage {
  readonly path: string;
  /** Empty for models that take none. */
  readonly prompt: string;
  readonly seed: number;
  readonly id?: string;
  readonly record: ImageRecord;
}

/** Told after every image. */
export interface ImageDone {
  readonly done: number;
  readonly total: number;
  /** What drawing it took: its share, where it was drawn together with others. */
  readonly seconds: number;
}

export interface DrawOptions {
  /**
   * Images to draw together at most, 1 by default: neighbours of one prompt with seeds one after the
   * other. More take less time each and more memory; their pixels are the same.
   */
  readonly batchSize?: number;
  readonly onImage?: (event: ImageDone) => void;
  readonly signal?: AbortSignal;
}

/** Where image `index` of a set is: `00000.png`, `00001.png`, … */
export function setImagePath(folder: string, index: number): string {
  return join(folder, `${String(index).padStart(5, '0')}.png`);
}

/**
 * Draws the images of a plan into `folder`, one after another, each written whole or not at all. Those
 * that an earlier run has drawn with the same settings and model are kept: however often a run is
 * killed, it goes on where it stopped, and ends with the images of a run that was not.
 *
 * @returns all images of the plan, in its order
 * @throws BookendError `invalid-argument` for images of other settings in the folder, before anything
 *   is drawn; `aborted`; as the pipelines do
 */
export async function drawImageSet(
  source: ModelSource,
  folder: string,
  plan: ImageSetPlan,
  { batchSize = 1, onImage, signal }: DrawOptions = {},
): Promise<DrawnImage[]> {
  requireWhole('batchSize', batchSize, 1, MAX_IMAGES);
  await prepareResultFolder(folder);
  const identity = await source.identity();
  const settings = plan.entries.map((_, i) => settingsOf(source, plan, i, identity));
  const records: (ImageRecord | undefined)[] = [];
  for (const [i, expected] of settings.entries()) {
    throwIfAborted(signal);
    const path = setImagePath(folder, i);
    const found = await readRecord(path);
    if (found) requireSameSettings(path, found.settings, expected);
    records.push(found);
  }
  const total = records.length;
  let done = records.filter((record) => record !== undefined).length;
  for (const batch of missingBatches(plan, records, batchSize)) {
    const model = await source.load();
    throwIfAborted(signal);
    const result = await draw(model, plan, batch, signal);
    const scheduler = plan.sampling.scheduler ?? model.schedulerName;
    for (const [at, i] of batch.entries()) {
      const record = recordOf(result, settings[i]);
      const { prompt = '' } = plan.entries[i];
      const text = { prompt, seed: seedOf(plan, i), model: source.name, scheduler };
      await save(setImagePath(folder, i), result.images[at], record, text, plan.sampling);
      records[i] = record;
      onImage?.({ done: ++done, total, seconds: record.seconds.total });
    }
  }
  return plan.entries.map(({ prompt = '', id }, i) => ({
    path: setImagePath(folder, i),
    prompt,
    seed: seedOf(plan, i),
    ...(id !== undefined && { id }),
    record: records[i]!,
  }));
}

/** Indices of the images that are still to be drawn, those together that can be. */
function missingBatches(
  plan: ImageSetPlan,
  records: readonly (ImageRecord | undefined)[],
  batchSize: number,
): number[][] {
  const batches: number[][] = [];
  for (const [i, known] of records.entries()) {
    if (known) continue;
    const last = batches.at(-1);
    if (last && last.length < batchSize && follows(plan, last.at(-1)!, i)) last.push(i);
    else batches.push([i]);
  }
  return batches;
}

/** Whether an image has the prompt of the one before and the next seed. */
function follows(plan: ImageSetPlan, before: number, image: number): boolean {
  const isSamePrompt = plan.entries[before].prompt === plan.entries[image].prompt;
  return isSamePrompt && seedOf(plan, image) === seedOf(plan, before) + 1;
}

/** The seed of image `index` of a plan. */
export function seedOf({ entries, seed }: ImageSetPlan, index: number): number {
  return entries[index].seed ?? seed + index;
}

/** As JSON has it, without what is not set. */
function settingsOf(
  source: ModelSource,
  plan: ImageSetPlan,
  index: number,
  identity: string,
): ImageSettings {
  const { prompt } = plan.entries[index];
  const { sampling } = plan;
  const settings = { prompt, seed: seedOf(plan, index), ...sampling, ...source.precision };
  return JSON.parse(JSON.stringify({ ...settings, model: identity }));
}

async function draw(
  model: LoadedModel,
  plan: ImageSetPlan,
  batch: readonly number[],
  signal: AbortSignal | undefined,
): Promise<GenerationResult> {
  const { prompt } = plan.entries[batch[0]];
  const seed = seedOf(plan, batch[0]);
  const request = { ...plan.sampling, seed, numImages: batch.length, signal };
  if (model.kind === 'unconditional') {
    if (prompt === undefined) return unconditional(model.model, request);
    throw new BookendError(
      'invalid-argument',
      `${model.model.origin} draws from noise alone and takes no prompts; say how many images instead.`,
    );
  }
  if (prompt !== undefined) return textToImage(model.model, prompt, request);
  throw new BookendError(
    'invalid-argument',
    `${model.model.origin} draws from text; give it prompts.`,
  );
}

function recordOf(
  { images, schedule, timings }: GenerationResult,
  settings: ImageSettings,
): ImageRecord {
  const batch = images.length;
  const denoise = timings.steps.reduce((sum, value) => sum + value, 0);
  return {
    settings,
    schedule: formatSchedule(schedule),
    isa: resolveIsa(),
    ...(batch > 1 && { batch }),
    seconds: {
      textEncode: timings.textEncode / batch,
      denoise: denoise / batch,
      decode: timings.decode / batch,
      total: timings.total / batch,
    },
  };
}

async function save(
  path: string,
  image: Image,
  record: ImageRecord,
  text: Pick<ParametersText, 'prompt' | 'seed' | 'scheduler' | 'model'>,
  sampling: SamplingSettings,
): Promise<void> {
  const parameters = formatParameters({
    ...text,
    negativePrompt: sampling.negativePrompt,
    steps: sampling.numInferenceSteps,
    guidance: sampling.guidanceScale,
    width: image.width,
    height: image.height,
    precision: record.schedule,
  });
  await writePng(path, image, { parameters, [RECORD_KEYWORD]: formatRecord(record) });
}
