/**
 * `npm run verify:emoji`: draws the same prompts from the same seeds with diffusers and with
 * Bookend, scheduler by scheduler, and prints how far the images are apart, in dB of peak signal to
 * noise over images from 0 to 1 before they are rounded. Exit status 1 when FP32 is below the limit.
 *
 *   --model DIR     models/emoji by default
 *   --prompts N     the first N of models/emoji/prompts.txt, 4 by default
 *   --steps N       50 by default
 *   --seed N        of the first prompt, the others count on; 0 by default
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { floats } from '../../src/core/tensor.ts';
import {
  BookendError,
  type LoadOptions,
  type SchedulerName,
  StableDiffusionPipeline,
  type StepEnd,
} from '../../src/index.ts';
import { openCheckpoint } from '../../src/io/checkpoint.ts';
import type { TensorSource } from '../../src/io/tensor-source.ts';
import { findPython, runPython } from '../verify-full/python.ts';

const REPOSITORY = join(import.meta.dirname, '../..');
const SCHEDULERS: readonly SchedulerName[] = ['ddim', 'pndm', 'euler', 'dpmpp-2m'];
/** dB: a difference that no 8-bit image shows. */
const FP32_LIMIT = 60;

/** What reference.py is asked to draw. */
interface Request {
  readonly model: string;
  readonly prompts: readonly string[];
  readonly seed: number;
  readonly steps: number;
  readonly guidanceScale: number;
  readonly schedulers: readonly SchedulerName[];
}

interface Comparison {
  readonly scheduler: SchedulerName;
  /** dB, of the worst image. */
  readonly fp32: number;
  readonly bf16: number;
  /** Of diffusers in bfloat16 against itself in float32. */
  readonly torchBf16: number;
}

async function main(): Promise<void> {
  const request = await readRequest();
  const packages = ['torch', 'diffusers', 'transformers', 'safetensors', 'numpy'];
  const python = await findPython(packages);
  const folder = await mkdtemp(join(tmpdir(), 'bookend-verify-'));
  try {
    await writeFile(join(folder, 'request.json'), JSON.stringify(request));
    const output = join(folder, 'images.safetensors');
    const script = join(import.meta.dirname, 'reference.py');
    await runPython(python, [script, join(folder, 'request.json'), output]);
    const truth = await openCheckpoint(output);
    const comparisons = await compare(request, truth);
    await truth.close();
    process.stdout.write(`${table(comparisons)}\n`);
    process.exitCode = comparisons.every(({ fp32 }) => fp32 >= FP32_LIMIT) ? 0 : 1;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function readRequest(): Promise<Request> {
  const { values } = parseArgs({
    options: {
      model: { type: 'string', default: join(REPOSITORY, 'models/emoji') },
      prompts: { type: 'string', default: '4' },
      steps: { type: 'string', default: '50' },
      seed: { type: 'string', default: '0' },
    },
  });
  const text = await readFile(join(REPOSITORY, 'models/emoji/prompts.txt'), 'utf8');
  const prompts = text.split('\n').filter((line) => line.trim() !== '');
  return {
    model: values.model,
    prompts: prompts.slice(0, Number(values.prompts)),
    seed: Number(values.seed),
    steps: Number(values.steps),
    guidanceScale: 7.5,
    schedulers: SCHEDULERS,
  };
}

async function compare(request: Request, truth: TensorSource): Promise<Comparison[]> {
  const fp32 = await drawAll(request, 'fp32');
  const bf16 = await drawAll(request, 'bf16');
  return Promise.all(
    request.schedulers.map(async (scheduler, i) => {
      const images = split(floats(await truth.read(`${scheduler}.float32`)), request);
      const torch = split(floats(await truth.read(`${scheduler}.bfloat16`)), request);
      const worst = (ours: readonly Float32Array[]) =>
        Math.min(...images.map((image, k) => peakSignalToNoise(ours[k], image)));
      return { scheduler, fp32: worst(fp32[i]), bf16: worst(bf16[i]), torchBf16: worst(torch) };
    }),
  );
}

/** Images by scheduler and prompt. */
async function drawAll(
  request: Request,
  precision: LoadOptions['precision'],
): Promise<Float32Array[][]> {
  const pipe = await StableDiffusionPipeline.fromPretrained(request.model, { precision });
  const drawn: Float32Array[][] = [];
  for (const scheduler of request.schedulers) {
    const start = performance.now();
    const images: Float32Array[] = [];
    for (const [i, prompt] of request.prompts.entries()) {
      let latents: Float32Array = new Float32Array();
      const { images: rounded } = await pipe(prompt, {
        numInferenceSteps: request.steps,
        guidanceScale: request.guidanceScale,
        seed: request.seed + i,
        scheduler,
        onStepEnd: (event: StepEnd) => {
          latents = event.latents;
        },
      });
      const { downscale, latentChannels } = pipe.model.autoencoder.config;
      const [{ width, height }] = rounded;
      const { data } = await pipe.model.autoencoder.decode(latents, {
        batch: 1,
        height: height / downscale,
        width: width / downscale,
        channels: latentChannels,
      });
      images.push(data.map((value) => Math.min(1, Math.max(0, value / 2 + 0.5))));
    }
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    process.stderr.write(`  bookend ${scheduler} ${precision}: ${seconds} s\n`);
    drawn.push(images);
  }
  await pipe.dispose();
  return drawn;
}

function split(all: Float32Array, { prompts }: Request): Float32Array[] {
  const each = all.length / prompts.length;
  return prompts.map((_, i) => all.subarray(i * each, (i + 1) * each));
}

/** In dB; the range of pixels is 1. NaN counts as no signal at all. */
function peakSignalToNoise(actual: Float32Array, truth: Float32Array): number {
  let error = 0;
  for (const [i, value] of truth.entries()) error += (actual[i] - value) ** 2;
  const decibels = 10 * Math.log10(truth.length / error);
  return Number.isNaN(decibels) ? 0 : decibels;
}

/** A Markdown table, one row a scheduler. */
function table(comparisons: readonly Comparison[]): string {
  const header = `| scheduler | FP32, dB (≥ ${FP32_LIMIT}) | BF16, dB | diffusers' BF16, dB | |`;
  const rows = comparisons.map(({ scheduler, fp32, bf16, torchBf16 }) => {
    const numbers = [fp32, bf16, torchBf16].map((value) => value.toFixed(1));
    return `| ${[scheduler, ...numbers, fp32 >= FP32_LIMIT ? 'ok' : 'FAILED'].join(' | ')} |`;
  });
  return [header, `|${' --- |'.repeat(5)}`, ...rows].join('\n');
}

try {
  await main();
} catch (error) {
  if (!(error instanceof BookendError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
