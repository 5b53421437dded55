import { type Command, Option } from 'commander';
import { BookendError } from '../core/errors.ts';
import type { PostTrainingOptions } from '../pipelines/post-training-quantization.ts';
import type { ObserverSettings } from '../quantization/config.ts';
import { numberBetween, wholeNumber } from './options.ts';
import {
  addImageOptions,
  addTrainingOptions,
  checkTrainingOptions,
  dataOption,
  distillationWeight,
  type ImageDataOptions,
  QUANTIZING,
  type TrainingCommandOptions,
} from './training-options.ts';

export interface QuantizeOptions extends TrainingCommandOptions, ImageDataOptions {
  readonly out: string;
  readonly method: 'ptq' | 'qat';
  readonly prompts?: string;
  readonly samples: number;
  readonly calibrationSteps?: number;
  readonly guidance: number;
  readonly buckets?: number;
  readonly observer?: ObserverSettings['method'];
  readonly include?: readonly string[];
  readonly exclude?: readonly string[];
  readonly attentionScores?: 'float' | 'int8';
  readonly config?: string;
  readonly sensitivity: boolean;
  readonly dataFree?: boolean;
  readonly trajectories?: number;
  readonly inferenceSteps?: number;
  readonly distillation?: number;
  readonly timesteps?: 'int8' | 'all';
  readonly highPrecisionSteps?: number;
  readonly schedule?: string;
  readonly scales?: 'held' | 'moving' | 'learned';
  readonly freezeStep?: number;
  readonly variant?: string;
  readonly tokenizer?: string;
  readonly prediction?: 'epsilon' | 'v_prediction';
  readonly download?: boolean;
  readonly threads?: number;
  readonly json?: boolean;
}

const PREDICTIONS = ['epsilon', 'v_prediction'];
const OBSERVERS = ['minmax', 'percentile', 'mse'];

/**
 * The options of `bookend quantize`, in the groups that its help shows.
 *
 * @returns those that only training has a use for
 */
export function addQuantizeOptions(command: Command): readonly Option[] {
  command
    .requiredOption('-o, --out <folder>', 'the folder to make; interrupted, it can be gone on with')
    .addOption(
      new Option('--method <name>', 'ptq: without training; qat: with')
        .choices(['ptq', 'qat'])
        .default('ptq'),
    )
    .option(
      '-s, --steps <n>',
      'qat: steps of training (default: 300); ptq: the same as --calibration-steps',
      wholeNumber(1),
    );
  addCalibrationOptions(command);
  const before = command.options.length;
  addLearningOptions(command);
  const trainingOnly = command.options.slice(before);
  command
    .optionsGroup('With which model:')
    .option('--variant <name>', 'weights such as fp16 in model.fp16.safetensors')
    .option('--download', 'fetch a hub id that is not in the cache')
    .option('--tokenizer <folder>', 'CLIP vocabulary, which single files lack')
    .addOption(
      new Option('--prediction <type>', 'what a single-file U-Net predicts').choices(PREDICTIONS),
    )
    .optionsGroup('On this machine:')
    .option('--threads <n>', 'to compute with (default: one for each core)', wholeNumber(1))
    .option('--json', 'print one JSON object as the last line');
  return trainingOnly;
}

function addCalibrationOptions(command: Command): void {
  command
    .optionsGroup('What to learn the ranges of activations from:')
    .option(
      '--prompts <file>',
      'one on each line, JSONL or COCO captions (default: prompts.txt of the model)',
    )
    .option('--samples <n>', 'denoising runs', wholeNumber(1), 8)
    .option('--calibration-steps <n>', 'steps of each run (default: 15)', wholeNumber(1))
    .option('-g, --guidance <scale>', 'as images will be made', numberBetween(0, 1000), 7.5)
    .option('--seed <s>', 'of every random draw; run i uses s + i', wholeNumber(0), 0)
    .optionsGroup('How to quantize:')
    .option('--buckets <n>', 'ranges of timesteps with scales of their own', wholeNumber(1))
    .addOption(new Option('--observer <method>', 'how ranges are chosen').choices(OBSERVERS))
    .option('--include <patterns...>', 'layers, such as "down_blocks.*.resnets.*" (default: all)')
    .option('--exclude <patterns...>', 'layers to leave, besides those that the default leaves')
    .addOption(
      new Option(
        '--attention-scores <type>',
        'what long self-attention multiplies q and k in (default: float)',
      ).choices(['float', 'int8']),
    )
    .option('--config <file>', 'a JSON file with all of these and more')
    .option(
      '--no-sensitivity',
      'do not measure which steps INT8 harms, which precision auto needs',
    );
}

function addLearningOptions(command: Command): void {
  command.optionsGroup('With --method qat, what to learn from:');
  command.addOption(dataOption());
  addImageOptions(command);
  command
    .option('--data-free', 'no images: what the model itself draws of --prompts')
    .option('--trajectories <n>', 'data-free: how many (default: 64)', wholeNumber(1))
    .optionsGroup('With --method qat, what to learn:')
    .addOption(
      new Option(
        '--distillation <λ>',
        'weight of the original model’s answers beside the data; inf: those alone (default: 1, data-free: inf)',
      ).argParser(distillationWeight),
    )
    .addOption(
      new Option(
        '--timesteps <which>',
        'those that INT8 will run at, or all (default: int8)',
      ).choices(['int8', 'all']),
    )
    .option(
      '-k, --high-precision-steps <k>',
      'first and last steps that will not run in INT8 (default: 5)',
      wholeNumber(0),
    )
    .option('--schedule <list>', 'instead of -k, by step or noise level, as in generate')
    .option('--inference-steps <n>', 'as images will be made (default: 50)', wholeNumber(1))
    .addOption(
      new Option(
        '--scales <how>',
        'as calibration left them, those of activations by their ranges, or all learned (default: held)',
      ).choices(['held', 'moving', 'learned']),
    )
    .option(
      '--freeze-step <n>',
      'moving: step from which ranges stay (default: half of --steps)',
      wholeNumber(0),
    )
    .optionsGroup('With --method qat, how to train:');
  addTrainingOptions(command, QUANTIZING);
}

/**
 * Refuses options that would have no effect or contradict one another.
 *
 * @param trainingOnly what `addQuantizeOptions` returned
 * @throws BookendError `invalid-argument`
 */
export function checkQuantizeOptions(
  command: Command,
  options: QuantizeOptions,
  trainingOnly: readonly Option[],
): void {
  const isGiven = (name: string) => command.getOptionValueSource(name) === 'cli';
  if (options.method === 'ptq') {
    const extra = trainingOnly.find((option) => isGiven(option.attributeName()));
    if (extra) {
      throw misuse(`${extra.long} goes with --method qat`, 'add that or leave it out');
    }
    if (isGiven('steps') && isGiven('calibrationSteps')) {
      throw misuse(
        'Without --method qat, --steps and --calibration-steps are the same',
        'give one of the two',
      );
    }
    return;
  }
  checkData(options);
  checkTrainingOptions(command, options);
  const { timesteps, highPrecisionSteps, schedule, scales, freezeStep } = options;
  if (freezeStep !== undefined && scales !== 'moving') {
    throw misuse('--freeze-step goes with --scales moving', 'add that or leave it out');
  }
  if (highPrecisionSteps !== undefined && schedule !== undefined) {
    throw misuse('-k and --schedule both say what runs in INT8', 'give one of the two');
  }
  if (timesteps === 'all' && (highPrecisionSteps ?? schedule) !== undefined) {
    const name = schedule === undefined ? '-k' : '--schedule';
    throw misuse(
      `${name} has no effect with --timesteps all, which trains at every timestep`,
      'leave one of the two out',
    );
  }
}

function checkData(options: QuantizeOptions): void {
  const { data, dataFree, size, imageColumn, captionColumn, trajectories, distillation } = options;
  if (data === undefined && !dataFree) {
    throw misuse(
      '--method qat has nothing to learn from',
      'name a data set with --data, or learn from the model itself with --data-free',
    );
  }
  if (data !== undefined && dataFree) {
    throw misuse('--data and --data-free contradict each other', 'give one of the two');
  }
  if (data !== undefined && trajectories !== undefined) {
    throw misuse('--trajectories goes with --data-free', 'leave it out');
  }
  const ofImages = {
    '--size': size,
    '--image-column': imageColumn,
    '--caption-column': captionColumn,
  };
  const [extra] = Object.entries(ofImages).find(([, value]) => value !== undefined) ?? [];
  if (dataFree && extra) {
    throw misuse(`${extra} is about images, and --data-free has none`, 'leave it out');
  }
  if (dataFree && distillation !== undefined && distillation !== Number.POSITIVE_INFINITY) {
    throw misuse(
      `--data-free has only the original model’s answers to learn from, so --distillation ${distillation} has nothing to weigh them against`,
      'leave it out or name images with --data',
    );
  }
}

function misuse(what: string, advice: string): BookendError {
  return new BookendError('invalid-argument', `${what}; ${advice}.`);
}

/** What both methods begin with, but for the configuration. */
export function calibrationOptions(
  options: QuantizeOptions,
  steps: number | undefined,
): Omit<PostTrainingOptions, 'config' | 'onProgress' | 'signal'> {
  return {
    prompts: options.prompts,
    samples: options.samples,
    steps,
    guidanceScale: options.guidance,
    seed: options.seed,
    ...(!options.sensitivity && { sensitivityPrompts: 0 }),
    variant: options.variant,
    tokenizer: options.tokenizer,
    predictionType: options.prediction,
    download: options.download,
    threads: options.threads,
  };
}
