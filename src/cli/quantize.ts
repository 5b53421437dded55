import type { Command } from 'commander';
import { BookendError } from '../core/errors.ts';
import { readJsonObject } from '../io/json-file.ts';
import {
  type QuantizationProgress,
  type QuantizationReport,
  quantizePostTraining,
} from '../pipelines/post-training-quantization.ts';
import {
  DEFAULT_QUANTIZATION,
  parseQuantizationConfig,
  type QuantizationConfig,
} from '../quantization/config.ts';
import { interruptSignal } from './interrupt.ts';
import { resolveModel } from './models.ts';
import { note, print, printJson } from './output.ts';
import { createProgress, formatDuration, type Progress } from './progress.ts';
import {
  addQuantizeOptions,
  calibrationOptions,
  checkQuantizeOptions,
  type QuantizeOptions,
} from './quantize-options.ts';
import { quantizeTrained, refuseRequantization } from './quantize-trained.ts';
import { isFinished } from './training-run.ts';

/** `bookend quantize MODEL --out DIR`: a model that also computes in INT8. */
export function addQuantizeCommand(program: Command): void {
  const command = program
    .command('quantize')
    .summary('make a model that also computes in INT8')
    .description(
      'Make a model folder that computes in INT8 as well as in the precision of the original, whose files it shares.',
    )
    .argument('<model>', 'a folder, a .safetensors file, a hub id, or "emoji"')
    .addHelpText('after', EXAMPLES);
  const trainingOnly = addQuantizeOptions(command);
  command.action(async (reference: string, options: QuantizeOptions) => {
    checkQuantizeOptions(command, options, trainingOnly);
    const config = await quantizationConfig(options);
    const model = await resolveModel(reference);
    if (options.method === 'qat') {
      refuseRequantization(command, model);
      if (isFinished(options.out, options)) return;
      show(await quantizeTrained(model, config, options), options);
    } else {
      show(await quantize(model, config, options), options);
    }
  });
}

const EXAMPLES = `
Examples:
  bookend quantize ./sd-1.5 --out ./sd-1.5-int8
  bookend quantize ./sd-1.5 --method qat --data ./pictures --steps 300 --batch-size 4 \\
    --learning-rate 1e-5 --out ./sd-1.5-trained
  bookend quantize ./sd-1.5-int8 --method qat --data-free --out ./sd-1.5-distilled

Training stores its state every so often; Ctrl-C stores it, too. The same command with --resume goes on.`;

const PHASES = {
  calibrating: { label: 'Calibrating', unit: 'step' },
  quantizing: { label: 'Quantizing', unit: 'layer' },
  measuring: { label: 'Measuring', unit: 'step' },
} as const;

async function quantize(
  model: string,
  config: QuantizationConfig,
  options: QuantizeOptions,
): Promise<QuantizationReport> {
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
    return await quantizePostTraining(model, options.out, {
      ...calibrationOptions(options, options.calibrationSteps ?? options.steps),
      config,
      onProgress,
      signal: interrupt.signal,
    });
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
