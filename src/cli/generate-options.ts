import { type Command, Option } from 'commander';
import type { LoadOptions } from '../pipelines/load.ts';
import type { PrecisionOptions } from '../pipelines/request.ts';
import { type SchedulerName, schedulerNames } from '../schedulers/index.ts';
import { EMBEDDED_MODEL } from './models.ts';
import { numberBetween, wholeNumber } from './options.ts';

/** What decides an image, beside the prompt and the seed. */
export interface SamplingOptions {
  readonly steps: number;
  readonly guidance: number;
  readonly scheduler?: SchedulerName;
  readonly width?: number;
  readonly height?: number;
  readonly negative?: string;
  readonly eta: number;
  readonly clipSkip: number;
}

/** How a model is found and runs. */
export interface ModelOptions extends PrecisionOptions {
  readonly schedule?: string;
  readonly variant?: string;
  readonly tokenizer?: string;
  readonly prediction?: 'epsilon' | 'v_prediction';
  readonly download?: boolean;
  readonly threads?: number;
}

export interface GenerateOptions extends SamplingOptions, ModelOptions {
  readonly model: string;
  readonly seed?: number;
  readonly count: number;
  readonly image?: string;
  readonly strength?: number;
  readonly mask?: string;
  readonly out: string;
  readonly json?: boolean;
}

/** As `loadModel` takes them. */
export function loadOptions(options: ModelOptions): LoadOptions {
  return {
    precision: options.precision,
    highPrecisionSteps: options.highPrecisionSteps,
    schedule: options.schedule,
    maxSeconds: options.maxSeconds,
    minPsnr: options.minPsnr,
    variant: options.variant,
    tokenizer: options.tokenizer,
    predictionType: options.prediction,
    download: options.download,
    threads: options.threads,
  };
}

const PREDICTIONS = ['epsilon', 'v_prediction'];

/** The options of `bookend generate`, in the groups that its help shows. */
export function addGenerateOptions(command: Command): Command {
  command
    .optionsGroup('What to draw:')
    .option('-n, --negative <prompt>', 'what not to draw')
    .option('-c, --count <n>', 'how many images', wholeNumber(1), 1)
    .option('--seed <s>', 'image i uses s + i (default: random)', wholeNumber(0));
  addSizeOptions(command);
  command
    .optionsGroup('From an image:')
    .option('-i, --image <file>', 'start from this PNG, JPEG or WebP')
    .option('--strength <share>', 'how much to redraw (default: 0.8)', numberBetween(0, 1))
    .option('--mask <file>', 'repaint only where this is bright (default strength: 1)');
  addSamplingOptions(command);
  command
    .optionsGroup('With which model:')
    .option(
      '-m, --model <model>',
      'a folder, a .safetensors file, a hub id, or "emoji", which comes with Bookend',
      EMBEDDED_MODEL,
    );
  addModelOptions(command);
  addPrecisionOptions(command);
  command
    .optionsGroup('On this machine:')
    .option('--threads <n>', 'to compute with (default: one for each core)', wholeNumber(1))
    .option('-o, --out <file>', 'a PNG; several images are numbered', 'bookend.png')
    .option('--json', 'print one JSON object as the last line');
  return command;
}

export function addSizeOptions(command: Command): void {
  command
    .option('--width <pixels>', "a multiple of 8 (default: the model's own)", wholeNumber(1))
    .option('--height <pixels>', "a multiple of 8 (default: the model's own)", wholeNumber(1));
}

export function addSamplingOptions(command: Command): void {
  command
    .optionsGroup('How to draw:')
    .option('-s, --steps <n>', 'steps of the scheduler', wholeNumber(1), 50);
  addSchedulerOptions(command);
}

/** Beside the number of steps. */
export function addSchedulerOptions(command: Command): void {
  command
    .option('-g, --guidance <scale>', '1 turns guidance off', numberBetween(0, 1000), 7.5)
    .addOption(
      new Option('--scheduler <name>', "what decides the steps (default: the model's own)").choices(
        schedulerNames,
      ),
    )
    .option('--eta <share>', 'noise that ddim adds, 0 to 1', numberBetween(0, 1), 0)
    .option('--clip-skip <n>', 'layers of the text encoder to leave out', wholeNumber(0), 0);
}

/** Beside the model itself. */
export function addModelOptions(command: Command): void {
  command
    .option('--variant <name>', 'weights such as fp16 in model.fp16.safetensors')
    .option('--download', 'fetch a hub id that is not in the cache')
    .option('--tokenizer <folder>', 'CLIP vocabulary, which single files lack')
    .addOption(
      new Option('--prediction <type>', 'what a single-file U-Net predicts').choices(PREDICTIONS),
    );
}

const PRECISIONS = ['fp32', 'bf16', 'int8', 'mixed', 'auto'];

/** The last three precisions and what goes with them are for models that quantize has made. */
export function addPrecisionOptions(command: Command): void {
  command
    .optionsGroup('In which precision (int8, mixed and auto take a model from bookend quantize):')
    .addOption(
      new Option('-p, --precision <name>', "to compute in (default: the CPU's best)").choices(
        PRECISIONS,
      ),
    )
    .option(
      '-k, --high-precision-steps <k>',
      'mixed: first and last steps that are not INT8 (default: 5)',
      wholeNumber(0),
    )
    .option(
      '--schedule <list>',
      'by step, as in bf16x5,int8x*,bf16x5, or by noise level σ, as in int8@0.5..7,bf16',
    )
    .option('--max-seconds <s>', 'auto: the steps may take so long', numberBetween(0, 1e6))
    .option('--min-psnr <dB>', 'auto: as near to the image without INT8', numberBetween(0, 1e6));
}
