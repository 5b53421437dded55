import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { writeTinyModel } from '../../test/golden/pipelines/tiny-models.ts';
import { tinyMask, tinyPhoto } from '../../test/golden/pipelines/tiny-pictures.ts';
import {
  StableDiffusionImg2ImgPipeline,
  StableDiffusionInpaintPipeline,
  StableDiffusionPipeline,
  type StepEnd,
  type TileDecoded,
  UnconditionalPipeline,
} from '../index.ts';
import { hashedInput } from '../models/random-weights.ts';

const SIZE = { width: 32, height: 32 };
const FP32 = { precision: 'fp32' } as const;
const QUICK = { numInferenceSteps: 3, guidanceScale: 3, seed: 5 } as const;
const scratch = mkdtempSync(join(tmpdir(), 'bookend-pipelines-'));
const folder = await writeTinyModel('sd', join(scratch, 'sd'));
const pipe = await StableDiffusionPipeline.fromPretrained(folder, FP32);
after(async () => {
  await pipe.dispose();
  rmSync(scratch, { recursive: true, force: true });
});

test('a result accounts for its run', async () => {
  const events: StepEnd[] = [];
  const request = { ...QUICK, scheduler: 'pndm' } as const;
  const result = await pipe('an apple', { ...request, onStepEnd: (event) => events.push(event) });
  // PNDM takes its second step twice.
  assert.deepEqual(result.schedule, ['fp32', 'fp32', 'fp32', 'fp32']);
  assert.deepEqual(
    events.map(({ step, steps, precision }) => [step, steps, precision]),
    [0, 1, 2, 3].map((step) => [step, 4, 'fp32']),
  );
  assert.equal(result.timings.steps.length, 4);
  const parts = [result.timings.textEncode, result.timings.decode, ...result.timings.steps];
  assert.ok(parts.every((seconds) => seconds > 0));
  assert.ok(parts.reduce((sum, seconds) => sum + seconds, 0) <= result.timings.total);
  assert.ok(result.peakMemory > 2 ** 20);
  assert.deepEqual(result.seeds, [5]);
});

test('decoding tells of every tile', async () => {
  const events: TileDecoded[] = [];
  const onTileDecoded = (event: TileDecoded) => events.push(event);
  await pipe('an apple', { ...QUICK, numImages: 2, onTileDecoded });
  const shape = { batch: 2, height: 16, width: 12, channels: 4 };
  const latents = new Float32Array(2 * 16 * 12 * 4);
  await pipe.model.autoencoder.decode(latents, shape, { tileSize: 12, onTileDecoded });
  assert.deepEqual(
    events.map(({ tile, tiles }) => [tile, tiles]),
    [...[0, 1].map((tile) => [tile, 2]), ...[0, 1, 2, 3].map((tile) => [tile, 4])],
  );
  assert.ok(events.every(({ seconds }) => seconds > 0));
});

test('a seed gives the same image alone, in a batch and on any number of threads', async () => {
  const request = { ...QUICK, scheduler: 'euler-ancestral' } as const;
  const [alone] = (await pipe('an apple', { ...request, seed: 6 })).images;
  const batch = await pipe('an apple', { ...request, numImages: 3 });
  assert.deepEqual(batch.seeds, [5, 6, 7]);
  assert.deepEqual(batch.images[1].data, alone.data);
  assert.notDeepEqual(batch.images[0].data, alone.data);
  for (const threads of [1, 3]) {
    const other = await StableDiffusionPipeline.fromPretrained(folder, { ...FP32, threads });
    assert.deepEqual((await other('an apple', { ...request, seed: 6 })).images[0].data, alone.data);
    await other.dispose();
  }
});

test('without a seed, the one that was drawn is reported and draws the same again', async () => {
  const request = { ...QUICK, seed: undefined };
  const first = await pipe('an apple', request);
  const again = await pipe('an apple', { ...request, seed: first.seeds[0] });
  assert.deepEqual(again.images, first.images);
});

test('calls at the same time, of different sizes, give what they give alone', async () => {
  const sizes = [32, 40, 48, 56, 64].map((width) => ({ ...QUICK, width, height: 32 }));
  const together = await Promise.all(sizes.map((size) => pipe('an apple', size)));
  for (const [i, size] of sizes.entries()) {
    const alone = await pipe('an apple', size);
    assert.deepEqual(alone.images, together[i].images, `${size.width} pixels`);
  }
});

test('abort ends the run at once, before and between steps, and leaves the pipeline usable', async () => {
  const aborted = { name: 'BookendError', code: 'aborted' };
  await assert.rejects(pipe('x', { ...QUICK, signal: AbortSignal.abort() }), aborted);
  const controller = new AbortController();
  let steps = 0;
  const onStepEnd = () => {
    steps++;
    if (steps === 2) controller.abort();
  };
  const run = pipe('an apple', {
    ...QUICK,
    numInferenceSteps: 20,
    signal: controller.signal,
    onStepEnd,
  });
  await assert.rejects(run, aborted);
  assert.equal(steps, 2);
  assert.equal((await pipe('an apple', QUICK)).images.length, 1);
});

test('after dispose a pipeline refuses to run; a run under way ends in order', async () => {
  const other = await StableDiffusionPipeline.fromPretrained(folder, FP32);
  const expected = await other('an apple', QUICK);
  const running = other('an apple', {
    ...QUICK,
    onStepEnd: ({ step }) => {
      if (step === 2) void other.dispose();
    },
  });
  await assert.rejects(running, { code: 'invalid-argument', message: /disposed/ });
  await assert.rejects(other('an apple', QUICK), { code: 'invalid-argument', message: /disposed/ });
  await other.dispose();
  assert.deepEqual((await pipe('an apple', QUICK)).images, expected.images);
});

test('weight 1 changes nothing, other weights do', async () => {
  const draw = async (prompt: string) => (await pipe(prompt, QUICK)).images[0].data;
  const plain = await draw('a red apple');
  assert.deepEqual(await draw('a (red:1.0) apple'), plain);
  assert.notDeepEqual(await draw('a (red:1.5) apple'), plain);
});

test('long prompts take windows of 77 tokens, and the other prompt as many', async () => {
  const { textEncoder } = pipe.model;
  const long = 'b '.repeat(100);
  const tokenized = textEncoder.tokenize([
    { text: long, clipSkip: 0 },
    { text: 'a', clipSkip: 0 },
  ]);
  assert.equal(tokenized.tokens, 154);
  const both = await textEncoder.encode(tokenized);
  assert.deepEqual([both.prompts, both.tokens, both.width], [2, 154, 16]);
  const single = await textEncoder.encode(textEncoder.tokenize([{ text: 'a', clipSkip: 0 }]));
  assert.equal(single.tokens, 77);
  assert.deepEqual(both.data.subarray(154 * 16, 231 * 16), single.data);
  const { images } = await pipe(long, { ...QUICK, negativePrompt: 'short' });
  assert.notDeepEqual(images, (await pipe('b', QUICK)).images);
});

test('a prompt without end is refused in a sentence, and quickly', async () => {
  const start = performance.now();
  for (const [count, message] of [
    [40_000, /^The prompt has 240000 characters.*\.$/],
    [9_000, /^The prompt takes .* windows .*64\.$/],
  ] as const) {
    const prompt = 'apple '.repeat(count);
    await assert.rejects(pipe(prompt, QUICK), { code: 'invalid-argument', message });
  }
  assert.ok(performance.now() - start < 10_000);
});

test('what cannot be asked for is refused before the work', async () => {
  const refused: [Record<string, unknown>, string][] = [
    [{ width: 33 }, 'invalid-argument'],
    [{ height: 0 }, 'invalid-argument'],
    [{ width: 16384 }, 'invalid-argument'],
    [{ numInferenceSteps: 0 }, 'invalid-argument'],
    [{ numInferenceSteps: 1.5 }, 'invalid-argument'],
    [{ numImages: 0 }, 'invalid-argument'],
    [{ guidanceScale: Number.NaN }, 'invalid-argument'],
    [{ seed: -1 }, 'invalid-argument'],
    [{ clipSkip: 3 }, 'invalid-argument'],
    [{ eta: 2 }, 'invalid-argument'],
    [{ scheduler: 'euler', eta: 0.5 }, 'unsupported'],
    [{ scheduler: 'heun' }, 'unsupported'],
    [{ width: 8192, height: 8192, numImages: 512 }, 'insufficient-memory'],
  ];
  for (const [request, code] of refused) {
    await assert.rejects(pipe('an apple', { ...QUICK, ...request }), (error: Error) => {
      assert.equal((error as { code?: string }).code, code, `${JSON.stringify(request)}: ${error}`);
      assert.match(error.message, /^[^\n]+\.$/);
      return true;
    });
  }
  await assert.rejects(pipe(7 as unknown as string, QUICK), { code: 'invalid-argument' });
});

test('pictures that do not fit are refused', async () => {
  const redraw = await StableDiffusionImg2ImgPipeline.fromPretrained(folder, FP32);
  const repaint = await StableDiffusionInpaintPipeline.fromPretrained(folder, FP32);
  const image = tinyPhoto(SIZE);
  const gray = tinyMask(SIZE);
  await assert.rejects(redraw('x', { ...QUICK, image: gray }), { code: 'invalid-image' });
  await assert.rejects(redraw('x', { ...QUICK, image, strength: 0.1 }), {
    code: 'invalid-argument',
    message: /leaves none of 3 steps/,
  });
  const mask = tinyMask({ width: 32, height: 24 });
  await assert.rejects(repaint('x', { ...QUICK, image, mask }), { code: 'invalid-image' });
  const short = { ...image, data: image.data.subarray(1) };
  await assert.rejects(redraw('x', { ...QUICK, image: short }), { code: 'invalid-image' });
  // What only callers without a type checker can ask for.
  const untyped = QUICK as typeof QUICK & { image: typeof image };
  await assert.rejects(redraw('x', untyped), { code: 'invalid-argument', message: /no image/ });
  const maskless = { ...QUICK, image } as typeof QUICK & { image: typeof image; mask: typeof mask };
  await assert.rejects(repaint('x', maskless), { code: 'invalid-argument', message: /no mask/ });
  await redraw.dispose();
  await repaint.dispose();
});

test('a large image is decoded in tiles that blend into nearly what it is in one piece', async () => {
  const shape = { batch: 1, height: 12, width: 16, channels: 4 };
  const latents = hashedInput('tiles', [1, 12, 16, 4]).data as Float32Array;
  const whole = await pipe.model.autoencoder.decode(latents, shape);
  const tiled = await pipe.model.autoencoder.decode(latents, shape, { tileSize: 12 });
  assert.deepEqual([tiled.height, tiled.width], [96, 128]);
  let error = 0;
  let norm = 0;
  for (const [i, value] of whole.data.entries()) {
    error += (tiled.data[i] - value) ** 2;
    norm += value ** 2;
  }
  // Norms and attention see a tile alone, so it is never the same.
  const relative = Math.sqrt(error / norm);
  assert.ok(relative > 0 && relative < 0.5, `off by ${relative}`);
});

test('image-to-image scales the picture to the size asked for', async () => {
  const redraw = await StableDiffusionImg2ImgPipeline.fromPretrained(folder, FP32);
  const image = tinyPhoto({ width: 45, height: 30 });
  const own = await redraw('x', { ...QUICK, image });
  assert.deepEqual([own.images[0].width, own.images[0].height], [40, 24]);
  const other = await redraw('x', { ...QUICK, image, width: 16, height: 64 });
  assert.deepEqual([other.images[0].width, other.images[0].height], [16, 64]);
  await redraw.dispose();
});

test('each kind of model wants its own pipeline', async () => {
  const ddpm = await writeTinyModel('ddpm', join(scratch, 'ddpm'));
  const inpainting = await writeTinyModel('sd-inpaint', join(scratch, 'sd-inpaint'));
  await assert.rejects(StableDiffusionPipeline.fromPretrained(ddpm), { code: 'invalid-argument' });
  await assert.rejects(UnconditionalPipeline.fromPretrained(folder), { code: 'invalid-argument' });
  const nine = await StableDiffusionPipeline.fromPretrained(inpainting, FP32);
  await assert.rejects(nine('x', QUICK), { code: 'unsupported', message: /inpainting model/ });
  await nine.dispose();
});

test('bf16 stays close to fp32', async () => {
  const half = await StableDiffusionPipeline.fromPretrained(folder, { precision: 'bf16' });
  const rounded = await half('a red apple', QUICK);
  const exact = await pipe('a red apple', QUICK);
  assert.deepEqual(rounded.schedule, ['bf16', 'bf16', 'bf16', 'bf16']);
  const error = exact.images[0].data.reduce(
    (sum, value, i) => sum + (value - rounded.images[0].data[i]) ** 2,
    0,
  );
  const psnr = 10 * Math.log10(255 ** 2 / (error / exact.images[0].data.length));
  assert.ok(psnr > 30 && psnr < 80, `${psnr} dB`);
  await half.dispose();
});
