import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { floats } from '../../../src/core/tensor.ts';
import {
  type GenerationResult,
  type Image,
  type Pipeline,
  type PipelineType,
  type PromptRequest,
  StableDiffusionImg2ImgPipeline,
  StableDiffusionInpaintPipeline,
  StableDiffusionPipeline,
  type StepEnd,
  UnconditionalPipeline,
} from '../../../src/index.ts';
import { openCheckpoint } from '../../../src/io/checkpoint.ts';
import { imageOfFloats } from '../../../src/io/image-data.ts';
import { type TinyModel, writeTinyModel } from './tiny-models.ts';
import { tinyMask, tinyPhoto } from './tiny-pictures.ts';

interface Case {
  readonly name: string;
  readonly model: TinyModel;
  readonly kind: 'text-to-image' | 'image-to-image' | 'inpaint' | 'unconditional';
  readonly request: PromptRequest & {
    readonly prompt: string;
    readonly strength?: number;
    readonly width?: number;
    readonly height?: number;
  };
}

/** What a case gave: the images, and the same before clamping and rounding. */
interface Outcome {
  readonly result: GenerationResult;
  readonly latents: Float32Array;
  /** Channels-last, around -1 to 1. */
  readonly pixels: Float32Array;
}

const SIZE = 32;
const FP32 = { precision: 'fp32' } as const;
const cases: readonly Case[] = JSON.parse(
  readFileSync(join(import.meta.dirname, 'cases.json'), 'utf8'),
);
const expected = await openCheckpoint(join(import.meta.dirname, 'expected.safetensors'));
const scratch = mkdtempSync(join(tmpdir(), 'bookend-pipelines-'));
const types = [
  StableDiffusionPipeline,
  StableDiffusionImg2ImgPipeline,
  StableDiffusionInpaintPipeline,
  UnconditionalPipeline,
] as const;
const loaded = new Map<string, { dispose(): Promise<void> }>();

after(async () => {
  for (const pipe of loaded.values()) await pipe.dispose();
  await expected.close();
  rmSync(scratch, { recursive: true, force: true });
});

describe('what pipelines make, against diffusers', () => {
  for (const item of cases) {
    it(item.name, async () => {
      const { result, latents, pixels } = await run(item);
      if (expected.has(`${item.name}.latents`)) {
        const error = relativeL2(latents, floats(await expected.read(`${item.name}.latents`)));
        assert.ok(error <= 1e-4, `latents are off by ${error}`);
      }
      const truth = await expected.read(`${item.name}.images`);
      const images = floats(truth);
      const [batch, height, width] = truth.shape;
      const psnr = peakSignalToNoise(pixels, images);
      assert.ok(psnr >= 60, `images differ: ${psnr.toFixed(1)} dB instead of at least 60`);
      assert.equal(result.images.length, batch);
      for (const [i, image] of result.images.entries()) {
        const count = images.length / batch;
        const rounded = imageOfFloats(images.subarray(i * count, (i + 1) * count), width, height);
        assert.ok(largestDifference(image, rounded) <= 1);
        assert.equal(result.seeds[i], (item.request.seed ?? 0) + i);
      }
    });
  }
});

async function run({ kind, model, request }: Case): Promise<Outcome> {
  let latents: Float32Array = new Float32Array();
  const onStepEnd = (event: StepEnd) => {
    latents = event.latents;
  };
  const asked = { ...request, onStepEnd };
  if (kind === 'unconditional') {
    const pipe = await pipeline(UnconditionalPipeline, model);
    const result = await pipe(asked);
    const pixels = latents.map((value) => Math.min(1, Math.max(-1, value)));
    return { result, latents, pixels };
  }
  const { width = SIZE, height = SIZE } = request;
  const image = tinyPhoto({ width, height });
  const mask = tinyMask({ width, height });
  const run = async () => {
    if (kind === 'text-to-image') {
      const pipe = await pipeline(StableDiffusionPipeline, model);
      return { pipe, result: await pipe(request.prompt, asked) };
    }
    if (kind === 'image-to-image') {
      const pipe = await pipeline(StableDiffusionImg2ImgPipeline, model);
      return { pipe, result: await pipe(request.prompt, { ...asked, image }) };
    }
    const pipe = await pipeline(StableDiffusionInpaintPipeline, model);
    return { pipe, result: await pipe(request.prompt, { ...asked, image, mask }) };
  };
  const { pipe, result } = await run();
  const shape = { batch: result.images.length, height: height / 8, width: width / 8, channels: 4 };
  const { data: pixels } = await pipe.model.autoencoder.decode(latents, shape);
  return { result, latents, pixels };
}

/** Each model once for each type of pipeline. */
async function pipeline<Model, Arguments extends unknown[]>(
  type: PipelineType<Model, Arguments>,
  model: TinyModel,
): Promise<Pipeline<Model, Arguments>> {
  const key = `${model} ${types.indexOf(type as never)}`;
  const known = loaded.get(key) as Pipeline<Model, Arguments> | undefined;
  if (known) return known;
  const folder = join(scratch, key);
  const made = await type.fromPretrained(await writeTinyModel(model, folder), FP32);
  loaded.set(key, made);
  return made;
}

function relativeL2(actual: Float32Array, truth: Float32Array): number {
  assert.equal(actual.length, truth.length);
  const square = (sum: number, value: number) => sum + value * value;
  const error = actual.map((value, i) => value - truth[i]).reduce(square, 0);
  return Math.sqrt(error / truth.reduce(square, 0));
}

/** In dB; the range of pixels is 2. */
function peakSignalToNoise(actual: Float32Array, truth: Float32Array): number {
  assert.equal(actual.length, truth.length);
  let error = 0;
  for (const [i, value] of truth.entries()) error += (actual[i] - value) ** 2;
  return 10 * Math.log10(4 / (error / truth.length));
}

function largestDifference(a: Image, b: Image): number {
  assert.deepEqual([a.width, a.height, a.channels], [b.width, b.height, b.channels]);
  return a.data.reduce((most, value, i) => Math.max(most, Math.abs(value - b.data[i])), 0);
}
