import { basename } from 'node:path';
import type { Command } from 'commander';
import { BookendError } from '../core/errors.ts';
import { readImage } from '../io/image.ts';
import type { Image } from '../io/image-data.ts';
import { formatParameters } from '../io/image-parameters.ts';
import { writePng } from '../io/png.ts';
import { hasIntegerProducts } from '../pipelines/cpu-precision.ts';
import { imageToImage } from '../pipelines/image-to-image.ts';
import { inpaint } from '../pipelines/inpaint.ts';
import { type LoadedModel, loadModel } from '../pipelines/load.ts';
import { precisionSchedule } from '../pipelines/precision-plan.ts';
import type {
  GenerationResult,
  PrecisionOptions,
  PrecisionPrediction,
  StepEnd,
  TileDecoded,
} from '../pipelines/request.ts';
import { textToImage } from '../pipelines/text-to-image.ts';
import { unconditional } from '../pipelines/unconditional.ts';
import { formatSchedule, usesInt8 } from '../quantization/precision-schedule.ts';
import { resolveIsa } from '../runtime/native/cpu.ts';
import { addGenerateOptions, type GenerateOptions, loadOptions } from './generate-options.ts';
import { imagePath, requireWritable } from './image-files.ts';
import { interruptSignal } from './interrupt.ts';
import { resolveModel } from './models.ts';
import { note, print, printJson } from './output.ts';
import { createProgress, formatDuration, type Progress } from './progress.ts';

/** `bookend generate PROMPT`: images from text, from text and an image, or from nothing. */
export function addGenerateCommand(program: Command): void {
  const command = program
    .command('generate')
    .summary('make images from a prompt')
    .description('Make images from a prompt, from a prompt and an image, or from noise alone.')
    .argument('[prompt]', 'what to draw, with weights as in "a (red:1.3) apple"')
    .addHelpText('after', EXAMPLES);
  addGenerateOptions(command).action((prompt: string | undefined, options: GenerateOptions) =>
    generate(prompt ?? '', options),
  );
}

const EXAMPLES = `
Examples:
  bookend generate "red apple" --seed 7 --out apple.png
  bookend generate "a fox in the snow" --model ./sd-1.5 --steps 30 --scheduler dpmpp-2m
  bookend generate "winter" --model ./sd-1.5 --image photo.jpg --strength 0.6
  bookend generate "a fox" --model ./sd-1.5-int8 --precision mixed --high-precision-steps 5
  bookend generate "a hat" --model ./sd-1.5 --image photo.jpg --mask head.png

Paths of the images go to stdout, progress to stderr. Exit status: 0 done, 1 failed, 2 wrong usage,
130 interrupted.`;

async function generate(prompt: string, options: GenerateOptions): Promise<void> {
  await requireWritable(imagePath(options.out, 0, options.count));
  const pictures = await readPictures(options);
  const interrupt = interruptSignal();
  let model: LoadedModel | undefined;
  try {
    note(`Loading ${options.model}`);
    model = await loadModel(await resolveModel(options.model), loadOptions(options));
    warnOfSlowInt8(options);
    const result = await run(model, prompt, pictures, options, interrupt.signal);
    await save(result, model, prompt, options);
  } finally {
    interrupt.dispose();
    await model?.dispose();
  }
}

/** INT8 is exact everywhere, and a waste of time where the CPU has no instruction for it. */
function warnOfSlowInt8(options: PrecisionOptions): void {
  if (hasIntegerProducts() || !usesInt8(precisionSchedule(options))) return;
  note(
    `Warning: ${resolveIsa()} kernels have no integer dot product, so INT8 steps are exact but hardly faster than the others; see bookend doctor.`,
  );
}

async function run(
  model: LoadedModel,
  prompt: string,
  { image, mask }: Pictures,
  options: GenerateOptions,
  signal: AbortSignal,
): Promise<GenerationResult> {
  let denoising: Progress | undefined;
  let decoding: Progress | undefined;
  const onStepEnd = ({ step, steps, seconds }: StepEnd) => {
    denoising ??= createProgress('Denoising', steps, 'step');
    denoising.update(step + 1, seconds);
    if (step + 1 < steps || model.kind === 'unconditional') return;
    denoising.finish();
    denoising = undefined;
    note('Decoding');
  };
  const onTileDecoded = ({ tile, tiles, seconds }: TileDecoded) => {
    if (tiles === 1) return;
    decoding ??= createProgress('Decoding', tiles, 'tile');
    decoding.update(tile + 1, seconds);
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
    onTileDecoded,
    signal,
  };
  try {
    if (model.kind === 'unconditional') {
      refuseConditions(model, prompt, options);
      return await unconditional(model.model, request);
    }
    if (prompt.trim() === '') {
      throw new BookendError(
        'invalid-argument',
        'The prompt is empty and this model draws from text; say what to draw, as in: bookend generate "red apple".',
      );
    }
    const { strength } = options;
    if (!image) return await textToImage(model.model, prompt, request);
    if (!mask) return await imageToImage(model.model, prompt, { ...request, image, strength });
    return await inpaint(model.model, prompt, { ...request, image, mask, strength });
  } finally {
    denoising?.finish();
    decoding?.finish();
  }
}

/** An unconditional model would draw the same without them, so whoever gives them is told. */
function refuseConditions(model: LoadedModel, prompt: string, options: GenerateOptions): void {
  const { negative, image, width, height } = options;
  const given = { 'a prompt': prompt || undefined, '--negative': negative, '--image': image };
  const [extra] = Object.entries({ ...given, '--width': width, '--height': height }).find(
    ([, value]) => value !== undefined,
  ) ?? [undefined];
  if (extra === undefined) return;
  throw new BookendError(
    'invalid-argument',
    `${model.model.origin} draws from noise alone, at its own size, and was given ${extra}; leave it out.`,
  );
}

interface Pictures {
  readonly image?: Image;
  readonly mask?: Image;
}

async function readPictures({ image, mask, strength }: GenerateOptions): Promise<Pictures> {
  if (image !== undefined) {
    return {
      image: await readImage(image),
      mask: mask === undefined ? undefined : await readImage(mask),
    };
  }
  if (mask === undefined && strength === undefined) return {};
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
  const { images, seeds, schedule, prediction, timings, peakMemory } = result;
  const precision = formatSchedule(schedule);
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
      precision,
      strength: options.image ? (options.strength ?? (options.mask ? 1 : 0.8)) : undefined,
    });
    await writePng(file, image, { parameters });
    files.push(file);
    if (!options.json) print(file);
  }
  if (options.json) {
    const [seed] = seeds;
    printJson({ images: files, seed, seeds, schedule, prediction, timings, peakMemory });
  } else {
    const memory = (peakMemory / 2 ** 20).toFixed(0);
    const seconds = formatDuration(timings.total);
    if (prediction) note(describePrediction(prediction));
    note(`Seed ${seeds[0]}, ${precision}, ${seconds} in all, peak memory ${memory} MiB`);
  }
}

function describePrediction({ psnr, seconds }: PrecisionPrediction): string {
  const quality = psnr === undefined ? 'no INT8' : `${psnr.toFixed(1)} dB`;
  return `Expected ${quality} and ${formatDuration(seconds)} for the steps`;
}
