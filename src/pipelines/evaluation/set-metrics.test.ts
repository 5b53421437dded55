import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { ClassifyingExtractor } from '../../evaluation/feature-extractor.ts';
import type { Image } from '../../io/image-data.ts';
import { writePng } from '../../io/png.ts';
import { featuresOfImages, referenceFeatures, writeFeatures } from './image-features.ts';
import { setMetrics } from './set-metrics.ts';

const scratch = mkdtempSync(join(tmpdir(), 'bookend-set-metrics-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

/** Says of an image of one pixel what its channels are, and takes it for the largest of them. */
function pixelExtractor(name = 'pixel'): ClassifyingExtractor {
  const rows = (images: readonly Image[], factor: number) =>
    Float32Array.from(images.flatMap(({ data }) => [...data].map((byte) => byte * factor)));
  return {
    ...{ name, dimensions: 3, classes: 3 },
    extract: async (images) => rows(images, 1 / 255),
    describe: async (images) => ({ features: rows(images, 1 / 255), logits: rows(images, 1) }),
    dispose: async () => undefined,
  };
}

type Pixel = readonly [number, number, number];

async function imagesOf(name: string, pixels: readonly Pixel[]): Promise<string[]> {
  const folder = join(scratch, name);
  mkdirSync(folder, { recursive: true });
  const paths = pixels.map((_, i) => join(folder, `${String(i).padStart(2, '0')}.png`));
  for (const [i, pixel] of pixels.entries()) {
    const image = { width: 1, height: 1, channels: 3, data: Uint8Array.from(pixel) } as const;
    await writePng(paths[i], image);
  }
  return paths;
}

const COLOURS: readonly Pixel[] = Array.from({ length: 12 }, (_, i) => [
  i % 3 === 0 ? 255 : i,
  i % 3 === 1 ? 255 : 2 * i,
  i % 3 === 2 ? 255 : 0,
]);

const extractor = pixelExtractor();

test('features come image by image, whatever the batches', async () => {
  const paths = await imagesOf('features', COLOURS);
  const done: number[] = [];
  const features = await featuresOfImages(extractor, paths, { onImage: (i) => done.push(i) });
  assert.deepEqual(
    done,
    paths.map((_, i) => i + 1),
  );
  assert.equal(features.count, 12);
  assert.deepEqual(
    [...features.data].map((value) => Math.round(255 * value)),
    COLOURS.flat(),
  );
});

test('a set equals itself; another one lies apart', async () => {
  const paths = await imagesOf('set', COLOURS);
  const features = await featuresOfImages(extractor, paths);
  const { notes, reference, inceptionScore, ...rest } = await setMetrics(features, {
    reference: await referenceFeatures(extractor, join(scratch, 'set')),
  });
  assert.deepEqual(rest, { extractor: 'pixel', images: 12 });
  assert.deepEqual(notes, []);
  assert.equal(reference?.images, 12);
  assert.ok(reference.frechet.distance < 1e-9);
  assert.deepEqual(reference.precisionRecall, { precision: 1, recall: 1, neighbours: 3 });
  // One image in the last two of the ten parts, so most parts are of one class.
  assert.ok(inceptionScore!.score >= 1 && inceptionScore!.score <= 2);

  await imagesOf('dark', Array(12).fill([9, 9, 9]));
  const dark = await referenceFeatures(extractor, join(scratch, 'dark'));
  const apart = (await setMetrics(features, { reference: dark })).reference;
  assert.ok(apart!.frechet.distance > 0.3 && apart!.kernel.distance > 0.1);
  assert.equal(apart!.precisionRecall?.recall, 0);
});

test('features that are stored serve as the reference of their extractor alone', async () => {
  const features = await featuresOfImages(extractor, await imagesOf('stored', COLOURS));
  const path = join(scratch, 'features.safetensors');
  await writeFeatures(path, features);
  const { logits, ...rows } = features;
  assert.deepEqual(await referenceFeatures(extractor, path), rows);
  await assert.rejects(referenceFeatures(pixelExtractor('other'), path), {
    code: 'invalid-argument',
    message: /features of "pixel" and not of other/,
  });
  mkdirSync(join(scratch, 'empty'));
  await assert.rejects(referenceFeatures(extractor, join(scratch, 'empty')), {
    code: 'invalid-argument',
  });
  await assert.rejects(referenceFeatures(extractor, join(scratch, 'absent')), {
    code: 'not-found',
  });
});

test('an extractor without a classifier gives no Inception Score', async () => {
  const { name, dimensions, extract, dispose } = extractor;
  const plain = { name, dimensions, extract, dispose };
  const features = await featuresOfImages(plain, await imagesOf('plain', COLOURS));
  assert.equal(features.logits, undefined);
  const metrics = await setMetrics(features);
  assert.deepEqual(metrics, { extractor: 'pixel', images: 12, notes: [] });
});

test('diversity is that of the images of each prompt; what small sets lack is said', async () => {
  const pixels: Pixel[] = [
    ...[[0, 0, 0] as const, [51, 0, 0] as const],
    ...[[0, 0, 0] as const, [0, 153, 0] as const],
  ];
  const features = await featuresOfImages(extractor, await imagesOf('few', pixels.slice(0, 4)));
  const found = await setMetrics(features, { imagesPerPrompt: 2, reference: features });
  assert.ok(Math.abs(found.diversity!.mean - (0.2 + 0.6) / 2) < 1e-6);
  assert.equal(found.inceptionScore, undefined);
  assert.equal(found.notes.length, 1);
  const three = await featuresOfImages(extractor, await imagesOf('three', pixels.slice(0, 3)));
  const { reference, notes } = await setMetrics(three, { reference: three });
  assert.equal(reference?.precisionRecall, undefined);
  assert.equal(notes.length, 3);
});
