import { type Command, Option } from 'commander';
import { BookendError } from '../core/errors.ts';
import { readJsonObject } from '../io/json-file.ts';
import {
  type QuantizationProgress,
  type QuantizationReport,
  quantizePostTraining,
} from '../pipelines/post-training-quantization.ts';
import {
  DEFAULT_QUANTIZATION,
  type ObserverSettings,
  parseQuantizationConfig,
  type QuantizationConfig,
} from '../quantization/config.ts';
import { interruptSignal } from './interrupt.ts';
import { resolveModel } from './models.ts';
import { numberBetween, wholeNumber } from './options.ts';
import { note, print, printJson } from './output.ts';
import { createProgress, formatDuration, type Progress } from './progress.ts';

interface QuantizeOptions {
  readonly out: string;
  readonly method: 'ptq';
  readonly prompts?: string;
  readonly samples: number;
  readonly steps: number;
  readonly guidance: number;
  readonly buckets?: number;
  readonly observer?: ObserverSettings['method'];
  readonly include?: readonly string[];
  readonly exclude?: readonly string[];
  readonly attentionScores?: 'float' | 'int8';
  readonly config?: string;
  readonly seed: number;
  readonly sensitivity: boolean;
  readonly variant?: string;
  readonly tokenizer?: string;
  readonly prediction?: 'epsilon' | 'v_prediction';
  readonly download?: boolean;
  readonly threads?: number;
  readonly json?: boolean;
}

const PREDICTIONS = ['epsilon', 'v_prediction'];

/** `bookend quantize MODEL --out DIR`: a model that also computes in INT8. */
export function addQuantizeCommand(program: Command): void {
  program
    .command('quantize')
    .summary('make a model that also computes in INT8')
    .description(
      'Make a model folder that computes in INT8 as well as in the precision of the original, whose files it shares.',
    )
    .argument('<model>', 'a folder, a .safetensors file, a hub id, or "emoji"')
    .requiredOption('-o, --out <folder>', 'the folder to make; interrupted, run it again to go on')
    .addOption(
      new Option('--method <name>', 'ptq: without training').choices(['ptq']).default('ptq'),
    )
    .optionsGroup('What to learn the ranges of activations from:')
    .option('--prompts <file>', 'a prompt on each line (default: the model’s prompts.txt, if any)')
    .option('--samples <n>', 'denoising runs', wholeNumber(1), 8)
    .option('-s, --steps <n>', 'steps of each run', wholeNumber(1), 15)
    .option('-g, --guidance <scale>', 'as images will be made', numberBetween(0, 1000), 7.5)
    .option('--seed <s>', 'run i uses s + i', wholeNumber(0), 0)
    .optionsGroup('How to quantize:')
    .option('--buckets <n>', 'ranges of timesteps with scales of their own', wholeNumber(1))
    .addOption(
      new Option('--observer <method>', 'how ranges are chosen').choices([
        'minmax',
        'percentile',
        'mse',
      ]),
    )
    .option('--include <patterns...>', 'layers, such as "down_blocks.*.resnets.*" (default: all)')
    .option('--exclude <patterns...>', 'layers to leave, besides those that the default leaves')
    .addOption(
      new Option(
        '--attention-scores <type>',
        'what long self-attention multiplies q and k in (default: float)',
      ).choices(['float', 'int8']),
    )
    .option('--config <file>', 'a JSON file with all of these and more')
    .option('--no-sensitivity', 'do not measure which steps INT8 harms, which precision auto needs')
    .optionsGroup('With which model:')
    .option('--variant <name>', 'weights such as fp16 in model.fp16.safetensors')
    .option('--download', 'fetch a hub id that is not in the cache')
    .option('--tokenizer <folder>', 'CLIP vocabulary, which single files lack')
    .addOption(
      new Option('--prediction <type>', 'what a single-file U-Net predicts').choices(PREDICTIONS),
    )
    .optionsGroup('On this machine:')
    .option('--threads <n>', 'to compute with (default: one for each core)', wholeNumber(1))
    .option('--json', 'print one JSON object as the last line')
    .action(quantize);
}

const PHASES = {
  calibrating: { label: 'Calibrating', unit: 'step' },
  quantizing: { label: 'Quantizing', unit: 'layer' },
  measuring: { label: 'Measuring', unit: 'step' },
} as const;

async function quantize(reference: string, options: QuantizeOptions): Promise<void> {
  const config = await quantizationConfig(options);
  const interrupt = interruptSignal();
  const bars = new Map<string, Progress>();
  const onProgress = ({ phase, done, total, seconds }: QuantizationProgress) => {
    const { label, unit } = PHASES[phase];
    const bar = bars.get(phase) ?? createProgress(label, total, unit);
    bars.set(phase, bar);
    bar.update(done, seconds);
    if (done === total) bar.finish();
  };
  try {
    const report = await quantizePostTraining(await resolveModel(reference), options.out, {
      config,
      prompts: options.prompts,
      samples: options.samples,
      steps: options.steps,
      guidanceScale: options.guidance,
      seed: options.seed,
      ...(!options.sensitivity && { sensitivityPrompts: 0 }),
      variant: options.variant,
      tokenizer: options.tokenizer,
      predictionType: options.prediction,
      download: options.download,
      threads: options.threads,
      onProgress,
      signal: interrupt.signal,
    });
    show(report, options);
  } finally {
    interrupt.dispose();
  }
}

/** The file's config, or the default, with what the options say. */
async function quantizationConfig(options: QuantizeOptions): Promise<QuantizationConfig> {
  const { buckets, observer, include, exclude, attentionScores } = options;
  const origin = options.config ?? 'the command line';
  const base =
    options.config === undefined
      ? DEFAULT_QUANTIZATION
      : parseQuantizationConfig(await readConfigFile(options.config), options.config);
  const changed = {
    ...base,
    ...(buckets !== undefined && { buckets }),
    ...(observer !== undefined && { observer: { ...base.observer, method: observer } }),
    ...(attentionScores !== undefined && { attentionScores }),
    ...(include && { include }),
    ...(exclude && { exclude: [...base.exclude, ...exclude] }),
  };
  return parseQuantizationConfig(changed, origin);
}

async function readConfigFile(path: string): Promise<unknown> {
  try {
    return await readJsonObject(path);
  } catch (error) {
    if (!(error instanceof BookendError) || error.code !== 'invalid-checkpoint') throw error;
    throw new BookendError(
      'invalid-argument',
      error.message.replace('fetch or export it again', 'correct it'),
    );
  }
}

function show(report: QuantizationReport, { json }: QuantizeOptions): void {
  const { out, model, seconds, bytes, resumedSamples } = report;
  const layers = model.reports;
  const weights = layers.map(({ weightSqnr }) => weightSqnr ?? Number.POSITIVE_INFINITY);
  const inputs = layers.map(({ inputSqnr }) => inputSqnr ?? Number.POSITIVE_INFINITY);
  if (json) {
    printJson({
      out,
      layers: layers.length,
      seconds,
      bytesBefore: bytes.before,
      bytesAfter: bytes.after,
      buckets: model.buckets.length,
      samples: model.origin.samples,
      resumedSamples,
      int8Psnr: model.sensitivity?.int8Psnr ?? null,
      // In dB; null: no noise at all.
      meanError: { weightSqnr: finiteMean(weights), inputSqnr: finiteMean(inputs) },
      worst: {
        weight: layers[weights.indexOf(Math.min(...weights))],
        input: layers[inputs.indexOf(Math.min(...inputs))],
      },
    });
    return;
  }
  print(out);
  const mib = (value: number) => `${(value / 2 ** 20).toFixed(1)} MiB`;
  const error = [finiteMean(weights), finiteMean(inputs)].map((value) => value?.toFixed(1) ?? '∞');
  note(
    `${layers.length} layers in ${formatDuration(seconds)}, U-Net weights ${mib(bytes.before)} → ${mib(bytes.after)}, mean signal to noise of weights ${error[0]} dB, of their inputs ${error[1]} dB`,
  );
}

function finiteMean(values: readonly number[]): number | null {
  const finite = values.filter(Number.isFinite);
  return finite.length === 0 ? null : finite.reduce((sum, value) => sum + value, 0) / finite.length;
}
