import { type Command, InvalidArgumentError, Option } from 'commander';
import { BookendError } from '../core/errors.ts';
import type { ImageData } from '../pipelines/training/open-batches.ts';
import { type TrainingRequest, trainingOptions } from '../training/training-options.ts';
import { numberBetween, wholeNumber } from './options.ts';

/** What `train` and `quantize --method qat` share, by the names that commander gives. */
export interface TrainingCommandOptions {
  readonly steps?: number;
  readonly batchSize: number;
  readonly accumulation: number;
  readonly learningRate?: number;
  readonly rateSchedule: TrainingRequest['rateSchedule'];
  readonly warmupSteps: number;
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

/** The batch and the learning rate of the paper (section 3.2), and the library's own. */
const DEFAULTS = trainingOptions({ steps: 300, batchSize: 4, learningRate: 1e-5 });

/** A learning rate that a network of random weights needs. */
const FROM_SCRATCH_RATE = 1e-4;

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
export function addTrainingOptions(command: Command): void {
  const finite = numberBetween(0, 1e9);
  command
    .option('-b, --batch-size <n>', 'samples at once', wholeNumber(1), DEFAULTS.batchSize)
    .option(
      '--accumulation <n>',
      'batches for each step, for less memory than a large batch',
      wholeNumber(1),
      DEFAULTS.accumulation,
    )
    .option(
      '--learning-rate <rate>',
      `after the warm-up (default: ${DEFAULTS.learningRate.toExponential()}, from scratch: ${FROM_SCRATCH_RATE.toExponential()})`,
      finite,
    )
    .addOption(
      new Option('--rate-schedule <name>', 'how the learning rate goes on')
        .choices(['constant', 'linear', 'cosine'])
        .default(DEFAULTS.rateSchedule),
    )
    .option(
      '--warmup-steps <n>',
      'over which it rises from 0',
      wholeNumber(0),
      DEFAULTS.warmupSteps,
    )
    .option('--clip <norm>', 'largest norm of a gradient', finite, DEFAULTS.clipNorm)
    .option('--weight-decay <w>', 'of AdamW', finite, DEFAULTS.weightDecay)
    .option(
      '--ema-decay <d>',
      'of the moving average of the weights, which is the result',
      numberBetween(0, 1),
      DEFAULTS.emaDecay,
    )
    .option('--no-ema', 'keep no moving average; the last weights are the result')
    .option(
      '--text-dropout <share>',
      'samples whose text is left out, for guidance',
      numberBetween(0, 1),
      DEFAULTS.conditioningDropout,
    )
    .option(
      '--min-snr <gamma>',
      'weigh samples by min-SNR-γ (5 in its paper; default: off)',
      finite,
    )
    .addOption(
      new Option('--training-precision <name>', 'what products are computed in')
        .choices(['fp32', 'bf16'])
        .default(DEFAULTS.precision),
    )
    .option(
      '--checkpoint-every <n>',
      'steps from one stored state to the next',
      wholeNumber(1),
      DEFAULTS.checkpointEvery,
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
  kind: 'from-scratch' | 'fine-tuning',
): ReturnType<typeof trainingOptions> {
  const rate = kind === 'from-scratch' ? FROM_SCRATCH_RATE : DEFAULTS.learningRate;
  return trainingOptions({
    steps: options.steps ?? DEFAULTS.steps,
    batchSize: options.batchSize,
    accumulation: options.accumulation,
    learningRate: options.learningRate ?? rate,
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
export function describeTraining(
  training: ReturnType<typeof trainingOptions>,
): [name: string, value: string][] {
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
