import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type Pixel, pixelExtractor, writePixels } from '../../../test/support/pixel-images.ts';
import { featuresOfImages, referenceFeatures } from './image-features.ts';
import { setMetrics } from './set-metrics.ts';

const scratch = mkdtempSync(join(tmpdir(), 'bookend-set-metrics-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

const imagesOf = (name: string, pixels: readonly Pixel[]) =>
  writePixels(join(scratch, name), pixels);

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
  assert.ok(apart!.frechet.distance > 0.3 && apart!.kernel!.distance > 0.1);
  assert.equal(apart!.precisionRecall?.recall, 0);
});

test('an extractor without a classifier gives no Inception Score', async () => {
  const { classes, describe, ...plain } = extractor;
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
