import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { argv } from 'node:process';
import type { Command } from 'commander';
import { BookendError } from '../core/errors.ts';
import type { QuantizationReport } from '../pipelines/post-training-quantization.ts';
import { DEFAULT_HIGH_PRECISION_STEPS } from '../pipelines/precision-plan.ts';
import type { TrainingData } from '../pipelines/training/open-batches.ts';
import { quantizeWithTraining } from '../pipelines/training/quantization-aware-training.ts';
import type { ScaleLearning } from '../pipelines/training/scale-learning.ts';
import type { QuantizationConfig } from '../quantization/config.ts';
import { QUANTIZATION_JSON } from '../quantization/quantized-model.ts';
import { calibrationOptions, type QuantizeOptions } from './quantize-options.ts';
import {
  describeTraining,
  imageData,
  QUANTIZING,
  resumeCommand,
  trainingRequest,
} from './training-options.ts';
import { runTraining } from './training-run.ts';

/** `bookend quantize --method qat`: training with the rounding of INT8 in place. */
export async function quantizeTrained(
  reference: string,
  config: QuantizationConfig,
  options: QuantizeOptions,
): Promise<QuantizationReport> {
  const { out, timesteps, inferenceSteps, distillation, resume } = options;
  const { highPrecisionSteps, schedule } = options;
  const training = trainingRequest(options, QUANTIZING);
  const settings = {
    out,
    training,
    settings: [...describeTask(reference, options), ...describeTraining(training)],
    resumeCommand: resumeCommand(argv.slice(2)),
  };
  return runTraining(settings, ({ onEvent, signal }) =>
    quantizeWithTraining(reference, out, {
      ...calibrationOptions(options, options.calibrationSteps),
      config,
      training,
      data: trainingData(options),
      distillation,
      timesteps,
      use: schedule === undefined ? { precision: 'mixed', highPrecisionSteps } : { schedule },
      inferenceSteps,
      scales: scaleLearning(options),
      resume,
      onEvent,
      signal,
    }),
  );
}

function trainingData({ data, ...options }: QuantizeOptions): TrainingData {
  if (data !== undefined) return imageData({ ...options, data });
  const { prompts, trajectories, cache, inferenceSteps: steps, guidance: guidanceScale } = options;
  return { kind: 'data-free', prompts, trajectories, steps, guidanceScale, cache };
}

/** The library's own unless one is named. */
function scaleLearning({ scales, freezeStep }: QuantizeOptions): ScaleLearning | undefined {
  if (scales === 'moving') return { kind: 'moving', freezeStep };
  return scales && { kind: scales };
}

/** For the page of the run. */
function describeTask(reference: string, options: QuantizeOptions): [string, string][] {
  const { data, timesteps = 'int8', schedule, inferenceSteps = 50 } = options;
  const { highPrecisionSteps: k = DEFAULT_HIGH_PRECISION_STEPS } = options;
  const { distillation = data === undefined ? Number.POSITIVE_INFINITY : 1 } = options;
  const use = schedule ?? `mixed precision, k = ${k}`;
  return [
    ['Model', reference],
    ['Data', data ?? 'none: runs of the model itself'],
    ['Weight of distillation', distillation === Number.POSITIVE_INFINITY ? '∞' : `${distillation}`],
    ['Timesteps', timesteps === 'all' ? 'all' : `those of INT8: ${use}, ${inferenceSteps} steps`],
    ['Scales', options.scales ?? 'held'],
  ];
}

const QUANTIZATION_OPTIONS = {
  samples: '--samples',
  calibrationSteps: '--calibration-steps',
  buckets: '--buckets',
  observer: '--observer',
  include: '--include',
  exclude: '--exclude',
  attentionScores: '--attention-scores',
  config: '--config',
} as const;

/**
 * A model that is quantized already is trained as it is.
 *
 * @throws BookendError `invalid-argument` for options that say how to quantize it
 */
export function refuseRequantization(command: Command, model: string): void {
  if (!existsSync(join(model, 'unet', QUANTIZATION_JSON))) return;
  const given = Object.entries(QUANTIZATION_OPTIONS).find(
    ([name]) => command.getOptionValueSource(name) === 'cli',
  );
  if (!given) return;
  throw new BookendError(
    'invalid-argument',
    `${model} is quantized already and is trained as it is, so ${given[1]} has no effect; leave it out or pass the original model.`,
  );
}
