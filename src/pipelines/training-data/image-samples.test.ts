import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { inFolder } from '../../../test/fuzz/in-folder.ts';
import { writeTinyModel } from '../../../test/golden/pipelines/tiny-models.ts';
import { floats } from '../../core/tensor.ts';
import { floatsOfImage, type Image } from '../../io/image-data.ts';
import { encodePng } from '../../io/png.ts';
import { readTrainingImage } from '../../training/dataset/prepare-image.ts';
import type { TrainingSamples } from '../../training/dataset/training-samples.ts';
import { RandomStream } from '../../training/random-stream.ts';
import { type LoadedModel, loadModel } from '../load.ts';
import { type ModelParts, openModelParts } from '../model-parts.ts';
import type { StableDiffusion } from '../stable-diffusion.ts';
import { openImageSamples } from './image-samples.ts';

const EMOJI = join(import.meta.dirname, '../../../models/emoji');
const scratch = await mkdtemp(join(tmpdir(), 'bookend-samples-'));
const emoji = await loadModel(EMOJI);
const emojiParts = await openModelParts(EMOJI);
after(async () => {
  await emojiParts.close();
  await emoji.dispose();
  await rm(scratch, { recursive: true, force: true });
});

/** Some smooth picture, another for each `phase`. */
function picture(width: number, height: number, phase: number): Image {
  const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    const [x, y] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width)];
    return 128 + 100 * Math.sin((x / width) * 6 + phase + (i % 3)) * Math.cos((y / height) * 4);
  });
  return { width, height, channels: 3, data };
}

/** Three images of different sizes, with captions. */
async function writeImages(folder: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  const captions = ['red apple', 'a (big) cat', 'red apple'];
  for (const [i, caption] of captions.entries()) {
    await writeFile(join(folder, `${i}.png`), encodePng(picture(70 + 20 * i, 64 + 9 * i, i)));
    await writeFile(join(folder, `${i}.txt`), caption);
  }
  return folder;
}

const images = await writeImages(join(scratch, 'images'));
const drawn = (samples: TrainingSamples, index: number, seed = 1) =>
  samples.sample(index, RandomStream.start(seed, 'latents'));
const stableDiffusion = (model: LoadedModel): StableDiffusion => {
  assert.ok(model.kind === 'stable-diffusion');
  return model.model;
};
/** Fails if anything in the cache is not what it should be. */
const onStale = (reason: string) => assert.fail(reason);
const open = (cache: string, path = images, parts: ModelParts = emojiParts) =>
  openImageSamples(emoji, parts, { path, cache, onStale });

test('latents are those that the autoencoder draws, and embeddings those of the caption', async () => {
  const samples = await open(join(scratch, 'cache'));
  assert.equal(samples.count, 3);
  const { latents, embeddings } = await drawn(samples, 1);
  const { autoencoder, textEncoder } = stableDiffusion(emoji);
  const [height, width, channels] = samples.latentShape;
  const { downscale, latentChannels } = autoencoder.config;
  assert.deepEqual([height * downscale, width * downscale, channels], [64, 64, latentChannels]);
  const image = await readTrainingImage(join(images, '1.png'), { width: 64, height: 64 });
  const pixels = { batch: 1, height: 64, width: 64, channels: 3, data: floatsOfImage(image) };
  const noise = RandomStream.start(1, 'latents').normals(latents.length);
  const expected = await autoencoder.encode(pixels, noise);
  for (const [i, value] of latents.entries()) {
    assert.ok(Math.abs(value - expected[i]) <= 1e-6 * (1 + Math.abs(expected[i])));
  }
  // Brackets are no weights here, and windows are one.
  const ids = textEncoder.tokenizer.encodePadded('a (big) cat');
  const chunk = { ids, weights: new Float32Array(ids.length).fill(1) };
  const { data } = await textEncoder.encode({
    prompts: [{ chunks: [chunk], clipSkip: 0 }],
    tokens: ids.length,
  });
  assert.deepEqual(embeddings?.shape, [ids.length, textEncoder.config.width]);
  assert.deepEqual(floats(embeddings!), data);
  assert.deepEqual(samples.emptyEmbeddings?.shape, embeddings?.shape);
  assert.notDeepEqual(samples.emptyEmbeddings?.data, embeddings?.data);
});

test('the same stream draws the same latents, also from the cache and at once', async () => {
  const cache = join(scratch, 'cache');
  const first = await open(cache);
  const [once, again, other] = [
    await drawn(first, 0),
    await drawn(await open(cache), 0),
    await drawn(first, 0, 2),
  ];
  assert.deepEqual(again, once);
  assert.notDeepEqual(other.latents, once.latents);
  const inTurn = RandomStream.start(3, 'latents');
  const expected = [await first.sample(0, inTurn), await first.sample(2, inTurn)];
  const atOnce = RandomStream.start(3, 'latents');
  const fresh = await open(cache);
  const found = await Promise.all([fresh.sample(0, atOnce), fresh.sample(2, atOnce)]);
  assert.deepEqual(found, expected);
});

test('preparing makes what is missing, once, and can be interrupted', async () => {
  await inFolder(async (cache) => {
    const samples = await open(cache);
    const files = async () =>
      (await readdir(cache, { recursive: true })).filter((name) => name.endsWith('.safetensors'))
        .length;
    assert.equal(await files(), 1, 'the empty text');
    const controller = new AbortController();
    const stopped = samples.prepare([2, 0, 1, 0], {
      signal: controller.signal,
      onProgress: (done, total, seconds) => {
        assert.ok(total === 3 && seconds >= 0);
        if (done === 1) controller.abort();
      },
    });
    await assert.rejects(stopped, { code: 'aborted' });
    assert.equal(await files(), 3);
    const told: number[] = [];
    await samples.prepare([2, 0, 1], { onProgress: (done) => told.push(done) });
    assert.deepEqual(told, [1, 2, 3]);
    // Two of the captions are the same.
    assert.equal(await files(), 6);
    await rm(cache, { recursive: true });
    await drawn(samples, 2);
    await assert.rejects(readdir(cache), { code: 'ENOENT' }, 'the latest values are in memory');
  });
});

test('the identity follows images, captions, size and model', async () => {
  await inFolder(async (folder) => {
    const cache = join(scratch, 'cache');
    const copy = await writeImages(join(folder, 'copy'));
    const { identity } = await open(cache);
    assert.equal((await open(cache, copy)).identity, identity);
    const larger = await openImageSamples(emoji, emojiParts, {
      path: images,
      size: 128,
      cache,
      onStale,
    });
    assert.notEqual(larger.identity, identity);
    assert.deepEqual(larger.latentShape.slice(0, 2), [32, 32]);
    await writeFile(join(copy, '1.txt'), 'a (big) dog');
    assert.notEqual((await open(cache, copy)).identity, identity);
    await writeImages(copy);
    await writeFile(join(copy, '1.png'), encodePng(picture(64, 64, 9)));
    const changed = await open(cache, copy);
    assert.notEqual(changed.identity, identity);
    await writeFile(join(copy, '1.png'), encodePng(picture(64, 64, 8)));
    await assert.rejects(drawn(changed, 1), { code: 'invalid-argument', message: /has changed/ });
  });
});

test('a damaged image is named, and so is an index that is none', async () => {
  await inFolder(async (folder) => {
    const copy = await writeImages(join(folder, 'copy'));
    await writeFile(join(copy, '1.png'), encodePng(picture(64, 64, 1)).subarray(0, 200));
    const samples = await open(join(folder, 'cache'), copy);
    const damaged = { code: 'invalid-image', message: /^1\.png is not a sound PNG/ };
    await assert.rejects(samples.prepare([0, 1, 2]), damaged);
    await assert.rejects(drawn(samples, 3), { code: 'invalid-argument', message: /from 0 to 2/ });
    await assert.rejects(samples.prepare([-1]), { code: 'invalid-argument' });
  });
  const size = openImageSamples(emoji, emojiParts, { path: images, size: 63, onStale });
  await assert.rejects(size, { code: 'invalid-argument', message: /multiple of 4/ });
});

test('a model that draws pixels is trained on them, without captions', async () => {
  const folder = await writeTinyModel('ddpm', join(scratch, 'ddpm'));
  const model = await loadModel(folder);
  const parts = await openModelParts(folder);
  try {
    assert.ok(model.kind === 'unconditional');
    const plain = join(scratch, 'plain');
    await mkdir(plain);
    await writeFile(join(plain, 'a.png'), encodePng(picture(70, 50, 0)));
    const samples = await openImageSamples(model, parts, {
      path: plain,
      cache: join(scratch, 'cache'),
      onStale,
    });
    const { height, width } = model.model.config.sampleSize!;
    assert.deepEqual(samples.latentShape, [height, width, 3]);
    assert.equal(samples.emptyEmbeddings, undefined);
    const { latents, embeddings } = await drawn(samples, 0);
    const image = await readTrainingImage(join(plain, 'a.png'), { width, height });
    assert.deepEqual(latents, floatsOfImage(image));
    latents.fill(9);
    assert.deepEqual((await drawn(samples, 0)).latents, floatsOfImage(image));
    assert.equal(embeddings, undefined);
    await samples.prepare([0]);
    await assert.rejects(openImageSamples(emoji, emojiParts, { path: plain, onStale }), {
      message: /has no caption/,
    });
  } finally {
    await parts.close();
    await model.dispose();
  }
});
