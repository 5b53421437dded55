import { basename } from 'node:path';
import { type Command, Option } from 'commander';
import { BookendError } from '../core/errors.ts';
import { readImage } from '../io/image.ts';
import { writePng } from '../io/png.ts';
import { type ImageToImageRequest, imageToImage } from '../pipelines/image-to-image.ts';
import { inpaint } from '../pipelines/inpaint.ts';
import { type LoadedModel, loadModel } from '../pipelines/load.ts';
import type { GenerationResult, Precision, StepEnd } from '../pipelines/request.ts';
import { textToImage } from '../pipelines/text-to-image.ts';
import { unconditional } from '../pipelines/unconditional.ts';
import { type SchedulerName, schedulerNames } from '../schedulers/index.ts';
import { formatParameters, imagePath, requireWritable } from './image-files.ts';
import { interruptSignal } from './interrupt.ts';
import { EMBEDDED_MODEL, resolveModel } from './models.ts';
import { numberBetween, wholeNumber } from './options.ts';
import { print, printJson } from './output.ts';
import { createProgress, type Progress } from './progress.ts';

interface GenerateOptions {
  readonly model: string;
  readonly precision?: Precision;
  readonly steps: number;
  readonly guidance: number;
  readonly seed?: number;
  readonly scheduler?: SchedulerName;
  readonly width?: number;
  readonly height?: number;
  readonly negative?: string;
  readonly count: number;
  readonly eta: number;
  readonly clipSkip: number;
  readonly image?: string;
  readonly strength?: number;
  readonly mask?: string;
  readonly variant?: string;
  readonly tokenizer?: string;
  readonly prediction?: 'epsilon' | 'v_prediction';
  readonly download?: boolean;
  readonly threads?: number;
  readonly out: string;
  readonly json?: boolean;
}

/** `bookend generate PROMPT`: images from text, from text and an image, or from nothing. */
export function addGenerateCommand(program: Command): void {
  program
    .command('generate')
    .description('make images from a prompt')
    .argument('[prompt]', 'what to draw; unconditional models take none', '')
    .option(
      '-m, --model <model>',
      'folder, single .safetensors file, hub id or "emoji"',
      EMBEDDED_MODEL,
    )
    .addOption(
      new Option('-p, --precision <precision>', "default: the CPU's best").choices([
        'fp32',
        'bf16',
      ]),
    )
    .option('-s, --steps <n>', 'scheduler steps', wholeNumber(1), 50)
    .option('-g, --guidance <scale>', '1 turns guidance off', numberBetween(0, 1000), 7.5)
    .option('--seed <s>', 'image i uses s + i; random by default', wholeNumber(0))
    .addOption(new Option('--scheduler <name>', "default: the model's own").choices(schedulerNames))
    .option('--width <pixels>', "default: the model's own", wholeNumber(8))
    .option('--height <pixels>', "default: the model's own", wholeNumber(8))
    .option('-n, --negative <prompt>', 'what not to draw')
    .option('-c, --count <n>', 'images', wholeNumber(1), 1)
    .option('--eta <eta>', "DDIM's noise share", numberBetween(0, 1), 0)
    .option('--clip-skip <n>', 'last text encoder layers to leave out', wholeNumber(0), 0)
    .option('-i, --image <file>', 'start from this image')
    .option('--strength <share>', 'how much of the image to redraw', numberBetween(0, 1))
    .option('--mask <file>', 'repaint only where this is bright')
    .option('--variant <name>', 'weights such as fp16 in model.fp16.safetensors')
    .option('--tokenizer <folder>', 'CLIP vocabulary, for single-file checkpoints')
    .addOption(
      new Option('--prediction <type>', 'what a single-file U-Net predicts').choices([
        'epsilon',
        'v_prediction',
      ]),
    )
    .option('--download', 'fetch a hub id that is not in the cache')
    .option('--threads <n>', 'default: one per core', wholeNumber(1))
    .option('-o, --out <file>', 'PNG file; several images are numbered', 'bookend.png')
    .option('--json', 'print one JSON object as the last line')
    .action(generate);
}

async function generate(prompt: string, options: GenerateOptions): Promise<void> {
  await requireWritable(options.out);
  const interrupt = interruptSignal();
  let model: LoadedModel | undefined;
  try {
    model = await loadModel(await resolveModel(options.model), {
      precision: options.precision,
      variant: options.variant,
      tokenizer: options.tokenizer,
      predictionType: options.prediction,
      download: options.download,
      threads: options.threads,
    });
    const result = await run(model, prompt, options, interrupt.signal);
    await save(result, model, prompt, options);
  } finally {
    interrupt.dispose();
    await model?.dispose();
  }
}

async function run(
  model: LoadedModel,
  prompt: string,
  options: GenerateOptions,
  signal: AbortSignal,
): Promise<GenerationResult> {
  let progress: Progress | undefined;
  const onStepEnd = ({ step, steps, seconds }: StepEnd) => {
    progress ??= createProgress('Denoising', steps);
    progress.update(step + 1, seconds);
  };
  const request = {
    numInferenceSteps: options.steps,
    guidanceScale: options.guidance,
    negativePrompt: options.negative,
    seed: options.seed,
    numImages: options.count,
    scheduler: options.scheduler,
    eta: options.eta,
    clipSkip: options.clipSkip,
    width: options.width,
    height: options.height,
    onStepEnd,
    signal,
  };
  try {
    if (model.kind === 'unconditional') return await unconditional(model.model, request);
    if (prompt.trim() === '') {
      throw new BookendError(
        'invalid-argument',
        'The prompt is empty and this model draws from text; say what to draw, as in: bookend generate "red apple".',
      );
    }
    const redraw = await imageRequest(options);
    if (!redraw) return await textToImage(model.model, prompt, request);
    const mask = options.mask && (await readImage(options.mask));
    if (!mask) return await imageToImage(model.model, prompt, { ...request, ...redraw });
    return await inpaint(model.model, prompt, { ...request, ...redraw, mask });
  } finally {
    progress?.finish();
  }
}

async function imageRequest(
  options: GenerateOptions,
): Promise<Pick<ImageToImageRequest, 'image' | 'strength'> | undefined> {
  if (options.image) {
    return { image: await readImage(options.image), strength: options.strength };
  }
  if (options.mask === undefined && options.strength === undefined) return undefined;
  throw new BookendError(
    'invalid-argument',
    'There is a --mask or --strength but no image to change; name one with --image.',
  );
}

async function save(
  result: GenerationResult,
  model: LoadedModel,
  prompt: string,
  options: GenerateOptions,
): Promise<void> {
  const { images, seeds, schedule, timings, peakMemory } = result;
  const files: string[] = [];
  for (const [i, image] of images.entries()) {
    const file = imagePath(options.out, i, images.length);
    const parameters = formatParameters({
      prompt,
      negativePrompt: options.negative,
      steps: options.steps,
      scheduler: options.scheduler ?? model.schedulerName,
      guidance: options.guidance,
      seed: seeds[i],
      width: image.width,
      height: image.height,
      model: basename(model.model.origin),
      precision: schedule[0],
      strength: options.image ? (options.strength ?? (options.mask ? 1 : 0.8)) : undefined,
    });
    await writePng(file, image, { parameters });
    files.push(file);
    if (!options.json) print(file);
  }
  if (options.json) {
    printJson({ images: files, seed: seeds[0], seeds, schedule, timings, peakMemory });
  }
}
