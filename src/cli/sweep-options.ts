import { type Command, InvalidArgumentError, Option } from 'commander';
import { bestPrecision } from '../pipelines/cpu-precision.ts';
import type { SweepPrecision } from '../pipelines/evaluation/sweep-points.ts';
import {
  addDrawingOptions,
  addEffortOptions,
  addExtractorOptions,
  type DrawingOptions,
  type EffortOptions,
  type ExtractorOptions,
} from './evaluate-options.ts';
import {
  addModelOptions,
  addSchedulerOptions,
  type ModelOptions,
  type SamplingOptions,
} from './generate-options.ts';
import { numberBetween, wholeNumber, wholeNumbers } from './options.ts';

export interface SweepOptions
  extends DrawingOptions,
    ExtractorOptions,
    EffortOptions,
    Omit<SamplingOptions, 'steps'>,
    Pick<ModelOptions, 'variant' | 'tokenizer' | 'prediction' | 'download' | 'minPsnr'> {
  readonly out: string;
  readonly steps: readonly number[];
  readonly k: readonly number[];
  readonly precision?: readonly SweepPrecision[];
  readonly sensitivityPrompts: number;
  readonly blocks: number;
  readonly layers: 'all' | 'none';
  readonly rounds: number;
}

/** The options of `bookend sweep`, in the groups that its help shows. */
export function addSweepOptions(command: Command): void {
  command.requiredOption(
    '-o, --out <folder>',
    'for images, measurements and report; one that has some goes on',
  );
  addDrawingOptions(command);
  command
    .optionsGroup('With which settings:')
    .addOption(
      new Option('-s, --steps <list>', 'numbers of steps')
        .argParser(wholeNumbers(1, 1000))
        .default([20, 50], '20,50'),
    )
    .option(
      '-p, --precision <list>',
      `${PRECISIONS.join(', ')} (default: all that this CPU has)`,
      precisionList,
    )
    .addOption(
      new Option('-k, --k <list>', 'mixed: first and last steps that are not INT8')
        .argParser(wholeNumbers(0, 1000))
        .default([1, 2, 3, 5, 8], '1,2,3,5,8'),
    );
  command.optionsGroup('How to draw:');
  addSchedulerOptions(command);
  command.optionsGroup('What to measure:');
  addExtractorOptions(command);
  command
    .option('--sensitivity-prompts <n>', 'to find the steps that INT8 hurts', wholeNumber(0), 2)
    .option('--blocks <n>', 'parts of a run to try in INT8', wholeNumber(2), 8)
    .addOption(
      new Option('--layers <which>', 'to rank by what INT8 does in each')
        .choices(['all', 'none'])
        .default('all'),
    )
    .option('--rounds <n>', 'model evaluations to time in each precision', wholeNumber(1), 7)
    .option(
      '--min-psnr <dB>',
      'to FP32, for a recommended schedule (default: the middle of what was found)',
      numberBetween(0, 1e6),
    );
  command.optionsGroup('With which model:');
  addModelOptions(command);
  addEffortOptions(command);
}

const PRECISIONS: readonly SweepPrecision[] = ['fp32', 'bf16', 'int8', 'mixed'];

/** What is swept where nobody says: BF16 only where the CPU has instructions for it. */
export function defaultPrecisions(): SweepPrecision[] {
  return PRECISIONS.filter((name) => name !== 'bf16' || bestPrecision() === 'bf16');
}

function precisionList(text: string): SweepPrecision[] {
  return text.split(',').map((name) => {
    const known = PRECISIONS.find((precision) => precision === name.trim());
    if (known) return known;
    throw new InvalidArgumentError(`Pass a list of ${PRECISIONS.join(', ')}.`);
  });
}
