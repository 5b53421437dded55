import { type Command, Option } from 'commander';
import type { InceptionResizing } from '../evaluation/inception-preprocessing.ts';
import { readPrompts } from '../io/prompts.ts';
import type { ImageSetPlan } from '../pipelines/evaluation/image-set.ts';
import type { SweepRequest } from '../pipelines/evaluation/sweep-request.ts';
import {
  addModelOptions,
  addPrecisionOptions,
  addSamplingOptions,
  addSizeOptions,
  type ModelOptions,
  type SamplingOptions,
} from './generate-options.ts';
import { wholeNumber } from './options.ts';

/** Which images to draw. */
export interface DrawingOptions {
  readonly prompts?: string;
  readonly count?: number;
  readonly imagesPerPrompt: number;
  readonly seed: number;
}

/** What to compare sets of images by. */
export interface ExtractorOptions {
  readonly extractor?: string;
  readonly resizing: InceptionResizing;
  readonly reference?: string;
}

/** With which effort. */
export interface EffortOptions {
  readonly batchSize: number;
  readonly threads?: number;
  readonly json?: boolean;
}

export interface EvaluateOptions
  extends DrawingOptions,
    ExtractorOptions,
    SamplingOptions,
    ModelOptions,
    EffortOptions {
  readonly out: string;
  readonly paired?: string;
  readonly clip?: string;
}

/** The options of `bookend evaluate`, in the groups that its help shows. */
export function addEvaluateOptions(command: Command): void {
  command.requiredOption(
    '-o, --out <folder>',
    'for images and report; one that has images goes on',
  );
  addDrawingOptions(command);
  command
    .optionsGroup('What to measure:')
    .option('--paired <folder>', 'PSNR to the images of the same prompts and seeds in there')
    .option('--clip <model>', 'CLIP score by this model: a folder or a hub id');
  addExtractorOptions(command);
  addSamplingOptions(command);
  command.optionsGroup('With which model:');
  addModelOptions(command);
  addPrecisionOptions(command);
  addEffortOptions(command);
}

export function addDrawingOptions(command: Command): void {
  command
    .optionsGroup('What to draw:')
    .option('--prompts <file>', 'one on each line, JSONL or COCO captions')
    .option('-c, --count <n>', 'so many of the prompts, or images without', wholeNumber(1))
    .option('--images-per-prompt <n>', 'with seeds one after the other', wholeNumber(1), 1)
    .option('--seed <s>', 'image i uses s + i, unless its prompt names one', wholeNumber(0), 0)
    .option('-n, --negative <prompt>', 'what not to draw');
  addSizeOptions(command);
}

export function addExtractorOptions(command: Command): void {
  command
    .option('--extractor <model>', "features by pytorch-fid's weights as safetensors, or by nsfwjs")
    .addOption(
      new Option('--resizing <name>', 'of images for the extractor')
        .choices(['pytorch-fid', 'clean-fid'])
        .default('pytorch-fid'),
    )
    .option(
      '--reference <images>',
      'FID and others to this folder, or file of features or statistics',
    );
}

export function addEffortOptions(command: Command): void {
  command
    .optionsGroup('On this machine:')
    .option('-b, --batch-size <n>', 'images of a prompt to draw together', wholeNumber(1), 1)
    .option('--threads <n>', 'to compute with (default: one for each core)', wholeNumber(1))
    .option('--json', 'print one JSON object as the last line');
}

/** What evaluate and sweep draw, but for the number of steps. */
export type DrawingPlan = Pick<SweepRequest, 'entries' | 'seed' | 'sampling'>;

/** @throws BookendError as `readPrompts` does */
export async function drawingPlan(
  command: Command,
  options: DrawingOptions & ExtractorOptions & Omit<SamplingOptions, 'steps'>,
): Promise<DrawingPlan> {
  const { prompts, count, imagesPerPrompt, seed } = options;
  if (prompts === undefined && count === undefined) {
    command.error('error: name --prompts, or --count for a model that draws from noise alone');
  }
  if (options.reference !== undefined && options.extractor === undefined) {
    command.error('error: --reference is compared by features; name --extractor as well');
  }
  const once: ImageSetPlan['entries'] =
    prompts === undefined
      ? Array.from({ length: count! }, () => ({}))
      : (await readPrompts(prompts)).slice(0, count);
  const entries = once.flatMap((entry) =>
    Array.from({ length: imagesPerPrompt }, (_, i) =>
      entry.seed === undefined ? entry : { ...entry, seed: entry.seed + i },
    ),
  );
  const { guidance, scheduler, eta, negative, clipSkip, width, height } = options;
  const sampling = {
    ...{ guidanceScale: guidance, scheduler, eta },
    ...{ negativePrompt: negative, clipSkip, width, height },
  };
  return { entries, seed, sampling };
}
