import { argv } from 'node:process';
import { type Command, Option } from 'commander';
import { type TrainingReport, trainModel } from '../pipelines/training/train-model.ts';
import { resolveModel } from './models.ts';
import { wholeNumber } from './options.ts';
import { note, print, printJson } from './output.ts';
import { formatDuration } from './progress.ts';
import {
  addImageOptions,
  addTrainingOptions,
  checkTrainingOptions,
  dataOption,
  describeTraining,
  FINE_TUNING,
  FROM_SCRATCH,
  type ImageDataOptions,
  imageData,
  resumeCommand,
  type TrainingCommandOptions,
  trainingRequest,
} from './training-options.ts';
import { isFinished, runTraining } from './training-run.ts';

interface TrainOptions extends TrainingCommandOptions, ImageDataOptions {
  readonly data: string;
  readonly steps: number;
  readonly out: string;
  readonly fromScratch?: boolean;
  readonly variant?: string;
  readonly tokenizer?: string;
  readonly prediction?: 'epsilon' | 'v_prediction';
  readonly download?: boolean;
  readonly threads?: number;
  readonly json?: boolean;
}

/** `bookend train MODEL --data D --out DIR`: a model whose U-Net has learned from images. */
export function addTrainCommand(program: Command): void {
  const command = program
    .command('train')
    .summary('train the U-Net of a model on images')
    .description(
      'Make a model folder whose U-Net has learned to draw the images of a data set; the other networks are those of the original.',
    )
    .argument('<model>', 'a folder, a .safetensors file, a hub id, or "emoji"')
    .requiredOption('-o, --out <folder>', 'the folder to make')
    .addOption(dataOption().makeOptionMandatory());
  addImageOptions(command);
  command
    .requiredOption('-s, --steps <n>', 'steps of the optimizer', wholeNumber(1))
    .option('--from-scratch', 'begin with random weights; of the model, keep the configuration')
    .option('--seed <s>', 'of every random draw', wholeNumber(0), 0)
    .optionsGroup('How to train:');
  addTrainingOptions(command, FINE_TUNING);
  command
    .optionsGroup('With which model:')
    .option('--variant <name>', 'weights such as fp16 in model.fp16.safetensors')
    .option('--download', 'fetch a hub id that is not in the cache')
    .option('--tokenizer <folder>', 'CLIP vocabulary, which single files lack')
    .addOption(
      new Option('--prediction <type>', 'what a single-file U-Net predicts').choices([
        'epsilon',
        'v_prediction',
      ]),
    )
    .optionsGroup('On this machine:')
    .option('--threads <n>', 'to compute with (default: one for each core)', wholeNumber(1))
    .option('--json', 'print one JSON object as the last line')
    .addHelpText('after', EXAMPLES)
    .action(async (reference: string, options: TrainOptions) => {
      checkTrainingOptions(command, options);
      if (isFinished(options.out, options)) return;
      show(await train(reference, options), options);
    });
}

const EXAMPLES = `
Examples:
  bookend train ./sd-1.5 --data ./pictures --steps 500 --batch-size 1 --accumulation 4 --out ./mine
  bookend train emoji --from-scratch --data ./icons --steps 20000 --batch-size 16 --out ./icon-model

The state is stored every so often; Ctrl-C stores it, too. The same command with --resume goes on.`;

function train(reference: string, options: TrainOptions): Promise<TrainingReport> {
  const { out, data, fromScratch = false, resume = false } = options;
  const training = trainingRequest(options, fromScratch ? FROM_SCRATCH : FINE_TUNING);
  const settings = {
    out,
    training,
    settings: [
      ['Model', fromScratch ? `random weights, configured as ${reference}` : reference],
      ['Data', data],
      ...describeTraining(training),
    ] as const,
    resumeCommand: resumeCommand(argv.slice(2)),
  };
  return runTraining(settings, async ({ onEvent, signal }) =>
    trainModel(await resolveModel(reference), out, {
      training,
      data: imageData(options),
      fromScratch,
      resume,
      variant: options.variant,
      tokenizer: options.tokenizer,
      predictionType: options.prediction,
      download: options.download,
      threads: options.threads,
      onEvent,
      signal,
    }),
  );
}

function show(report: TrainingReport, { json }: TrainOptions): void {
  if (json) {
    printJson(report);
    return;
  }
  print(report.out);
  const millions = (report.parameters / 1e6).toPrecision(3);
  note(`${millions} million parameters in ${formatDuration(report.seconds)}`);
}
