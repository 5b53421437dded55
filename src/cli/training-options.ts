import { type Command, InvalidArgumentError, Option } from 'commander';
import { BookendError } from '../core/errors.ts';
import type { ImageData } from '../pipelines/training/open-batches.ts';
import { quantizationAwareTraining } from '../pipelines/training/quantization-aware-training.ts';
import {
  type TrainingOptions,
  type TrainingRequest,
  trainingOptions,
} from '../training/training-options.ts';
import { numberBetween, wholeNumber } from './options.ts';

/** What `train` and `quantize --method qat` share, by the names that commander gives. */
export interface TrainingCommandOptions {
  readonly steps?: number;
  readonly batchSize: number;
  readonly accumulation: number;
  readonly learningRate?: number;
  readonly rateSchedule: TrainingRequest['rateSchedule'];
  readonly warmupSteps?: number;
  readonly clip: number;
  readonly weightDecay: number;
  readonly emaDecay: number;
  /** False for `--no-ema`. */
  readonly ema: boolean;
  readonly textDropout: number;
  readonly minSnr?: number;
  readonly trainingPrecision: 'fp32' | 'bf16';
  readonly checkpointEvery: number;
  readonly resume?: boolean;
  readonly seed: number;
}

/** Where images come from. */
export interface ImageDataOptions {
  readonly data?: string;
  readonly imageColumn?: string;
  readonly captionColumn?: string;
  readonly size?: number;
  readonly cache?: string;
}

/** What a training is for; it decides what options mean that nobody gives. */
export interface TrainingKind {
  readonly learningRate: number;
  readonly complete: (request: TrainingRequest) => TrainingOptions;
  /** For the help. */
  readonly warmup: string;
}

/** The steps, batches and learning rate of the paper (section 3.2). */
const STEPS = 300;
const BATCH_SIZE = 4;

export const FINE_TUNING: TrainingKind = {
  learningRate: 1e-5,
  complete: trainingOptions,
  warmup: '0',
};
export const QUANTIZING: TrainingKind = {
  learningRate: 1e-5,
  complete: quantizationAwareTraining,
  warmup: 'a fifteenth of all',
};
/** Random weights need a larger learning rate. */
export const FROM_SCRATCH: TrainingKind = { ...FINE_TUNING, learningRate: 1e-4 };

export function dataOption(): Option {
  return new Option(
    '-d, --data <path>',
    'a folder of images with captions, or of .parquet files, or one such file',
  );
}

export function imageData(options: ImageDataOptions & { readonly data: string }): ImageData {
  const { data: path, imageColumn, captionColumn, size, cache } = options;
  return { kind: 'images', path, imageColumn, captionColumn, size, cache };
}

/** How images become samples. */
export function addImageOptions(command: Command): void {
  command
    .option('--image-column <name>', 'of Parquet files (default: image or img)')
    .option('--caption-column <name>', 'of Parquet files (default: text or caption)')
    .option(
      '--size <pixels>',
      "of images, cropped square (default: the model's own)",
      wholeNumber(8),
    )
    .option('--cache <folder>', 'for what is computed once (default: in the user’s own cache)');
}

/** The options of a training, but for its number of steps and its data. */
export function addTrainingOptions(command: Command, kind: TrainingKind): void {
  const finite = numberBetween(0, 1e9);
  const { learningRate, complete } = kind;
  const defaults = complete({ steps: STEPS, batchSize: BATCH_SIZE, learningRate });
  const rates = [learningRate, ...(kind === FINE_TUNING ? [FROM_SCRATCH.learningRate] : [])];
  command
    .option('-b, --batch-size <n>', 'samples at once', wholeNumber(1), defaults.batchSize)
    .option(
      '--accumulation <n>',
      'batches for each step, for less memory than a large batch',
      wholeNumber(1),
      defaults.accumulation,
    )
    .option(
      '--learning-rate <rate>',
      `after the warm-up (default: ${rates.map((rate) => rate.toExponential()).join(', from scratch: ')})`,
      finite,
    )
    .addOption(
      new Option('--rate-schedule <name>', 'how the learning rate goes on')
        .choices(['constant', 'linear', 'cosine'])
        .default(defaults.rateSchedule),
    )
    .option(
      '--warmup-steps <n>',
      `over which it rises from 0 (default: ${kind.warmup})`,
      wholeNumber(0),
    )
    .option('--clip <norm>', 'largest norm of a gradient', finite, defaults.clipNorm)
    .option('--weight-decay <w>', 'of AdamW', finite, defaults.weightDecay)
    .option(
      '--ema-decay <d>',
      'of the moving average of the weights, which is the result',
      numberBetween(0, 1),
      defaults.emaDecay,
    )
    .option('--no-ema', 'keep no moving average; the last weights are the result')
    .option(
      '--text-dropout <share>',
      'samples whose text is left out, for guidance',
      numberBetween(0, 1),
      defaults.conditioningDropout,
    )
    .option(
      '--min-snr <gamma>',
      'weigh samples by min-SNR-γ (5 in its paper; default: off)',
      finite,
    )
    .addOption(
      new Option('--training-precision <name>', 'what products are computed in')
        .choices(['fp32', 'bf16'])
        .default(defaults.precision),
    )
    .option(
      '--checkpoint-every <n>',
      'steps from one stored state to the next',
      wholeNumber(1),
      defaults.checkpointEvery,
    )
    .option('--resume', 'go on from the state that an interrupted run has left in --out');
}

/**
 * What the options ask for.
 *
 * @throws BookendError `invalid-argument` for numbers that do not go together
 */
export function trainingRequest(
  options: TrainingCommandOptions,
  { complete, learningRate }: TrainingKind,
): TrainingOptions {
  return complete({
    steps: options.steps ?? STEPS,
    batchSize: options.batchSize,
    accumulation: options.accumulation,
    learningRate: options.learningRate ?? learningRate,
    rateSchedule: options.rateSchedule,
    warmupSteps: options.warmupSteps,
    clipNorm: options.clip,
    weightDecay: options.weightDecay,
    emaDecay: options.ema ? options.emaDecay : null,
    conditioningDropout: options.textDropout,
    minSnrGamma: options.minSnr ?? null,
    precision: options.trainingPrecision,
    checkpointEvery: options.checkpointEvery,
    seed: options.seed,
  });
}

/** λ: a number from 0 on, or `inf`. */
export function distillationWeight(text: string): number {
  const value = /^inf(inity)?$/i.test(text) ? Number.POSITIVE_INFINITY : Number(text);
  if (text.trim() !== '' && value >= 0) return value;
  throw new InvalidArgumentError('Pass a number from 0 on, or inf.');
}

/** For the page of a run. */
export function describeTraining(training: TrainingOptions): [name: string, value: string][] {
  const { batchSize, accumulation, learningRate, rateSchedule, warmupSteps, emaDecay } = training;
  const batch = accumulation === 1 ? `${batchSize}` : `${batchSize} × ${accumulation}`;
  const warmup = warmupSteps === 0 ? '' : ` after ${warmupSteps} steps of warm-up`;
  return [
    ['Samples a step', batch],
    ['Learning rate', `${learningRate.toExponential()}, ${rateSchedule}${warmup}`],
    ['Weight decay', `${training.weightDecay}`],
    ['Gradient norm cut to', `${training.clipNorm}`],
    ['Moving average', emaDecay === null ? 'none' : `decay ${emaDecay}`],
    ['Text left out', `${training.conditioningDropout * 100}% of the samples`],
    ['Min-SNR γ', training.minSnrGamma === null ? 'off' : `${training.minSnrGamma}`],
    ['Products in', training.precision],
    ['Seed', `${training.seed}`],
  ];
}

/** The command that this process runs, with `--resume`, as a shell reads it. */
export function resumeCommand(args: readonly string[]): string {
  const words = args.map((arg) =>
    /^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", "'\\''")}'`,
  );
  return ['bookend', ...words, ...(args.includes('--resume') ? [] : ['--resume'])].join(' ');
}

/** @throws BookendError `invalid-argument` for options that contradict one another */
export function checkTrainingOptions(command: Command, { ema }: TrainingCommandOptions): void {
  if (ema || command.getOptionValueSource('emaDecay') !== 'cli') return;
  throw new BookendError(
    'invalid-argument',
    '--ema-decay and --no-ema contradict each other; give one of the two.',
  );
}
