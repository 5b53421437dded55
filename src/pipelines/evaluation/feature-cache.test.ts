import assert from 'node:assert/strict';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type Pixel, pixelExtractor, writePixels } from '../../../test/support/pixel-images.ts';
import { f32 } from '../../core/tensor.ts';
import { writeSafetensors } from '../../io/safetensors.ts';
import { featuresOfImages, referenceFeatures } from './image-features.ts';
import { readStoredFeatures, writeStoredFeatures } from './stored-features.ts';

const scratch = mkdtempSync(join(tmpdir(), 'bookend-feature-cache-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

const pixels = (count: number, blue = 0): Pixel[] =>
  Array.from({ length: count }, (_, i) => [i % 256, Math.floor(i / 256), blue]);

let places = 0;
async function place(count: number) {
  const folder = join(scratch, String(places++));
  const paths = await writePixels(join(folder, 'images'), pixels(count));
  return { folder, paths, cache: join(folder, 'features.safetensors') };
}

/** Counts the images that it is asked for. */
function countingExtractor(...args: Parameters<typeof pixelExtractor>) {
  const extractor = pixelExtractor(...args);
  const counting = {
    ...extractor,
    asked: 0,
    describe: (images: Parameters<typeof extractor.describe>[0]) => {
      counting.asked += images.length;
      return extractor.describe(images);
    },
  };
  return counting;
}

test('what is stored is not extracted again; what has changed is', async () => {
  const { folder, paths, cache } = await place(20);
  const first = countingExtractor();
  const features = await featuresOfImages(first, paths, { cache });
  assert.equal(first.asked, 20);
  assert.deepEqual(features, await featuresOfImages(pixelExtractor(), paths));

  const second = countingExtractor();
  const { mtimeMs } = statSync(cache);
  const onImage = () => assert.fail('no image is extracted');
  assert.deepEqual(await featuresOfImages(second, paths, { cache, onImage }), features);
  assert.equal(second.asked, 0);
  assert.equal(statSync(cache).mtimeMs, mtimeMs);

  // Another image, another order and one less.
  const [, changed] = await writePixels(join(folder, 'more'), [...pixels(1), [7, 7, 7]]);
  const others = [...paths.slice(0, 18).reverse(), changed];
  const done: number[] = [];
  const third = countingExtractor();
  const options = { cache, onImage: (count: number) => done.push(count) };
  const found = await featuresOfImages(third, others, options);
  assert.deepEqual([third.asked, done], [1, [19]]);
  assert.deepEqual(found, await featuresOfImages(pixelExtractor(), others));
  assert.deepEqual(await referenceFeatures(third, cache), found);
});

test('features of another extractor, other weights or without logits are not reused', async () => {
  const { paths, cache } = await place(9);
  await featuresOfImages(pixelExtractor(), paths, { cache });
  const { classes, describe, ...plain } = pixelExtractor();
  const extract = plain.extract;
  let asked = 0;
  plain.extract = (images) => {
    asked += images.length;
    return extract(images);
  };
  assert.equal((await featuresOfImages(plain, paths, { cache })).logits, undefined);
  assert.equal(asked, 9);
  for (const args of [[], ['other'], ['other', 'weights']] as const) {
    const extractor = countingExtractor(...args);
    await featuresOfImages(extractor, paths, { cache });
    assert.equal(extractor.asked, 9);
  }
});

test("another run's features are read and not written", async () => {
  const { folder, paths, cache } = await place(10);
  await featuresOfImages(pixelExtractor(), paths, { cache });
  const before = readFileSync(cache);
  const extractor = countingExtractor();
  const otherCaches = [cache, join(folder, 'none.safetensors')];
  const own = join(folder, 'reference.safetensors');
  const options = { cache: own, otherCaches };
  const found = await referenceFeatures(extractor, join(folder, 'images'), options);
  assert.equal(extractor.asked, 0);
  assert.equal(found.count, 10);
  assert.deepEqual(readFileSync(cache), before);
  assert.deepEqual(readFileSync(own), before);
});

test('a run that is stopped keeps what it has, which is no reference yet', async () => {
  const { paths, cache } = await place(280);
  const extractor = countingExtractor();
  const stopping = new AbortController();
  const run = featuresOfImages(extractor, paths, {
    cache,
    signal: stopping.signal,
    onImage: (done) => {
      // What a kill would leave at this point.
      if (done === 261) copyFileSync(cache, `${cache}-killed`);
      if (done === 269) stopping.abort();
    },
  });
  await assert.rejects(run, { code: 'aborted' });
  assert.equal((await readStoredFeatures(`${cache}-killed`))?.count, 256);
  assert.equal((await readStoredFeatures(cache))?.count, 272);
  await assert.rejects(referenceFeatures(extractor, cache), {
    code: 'invalid-argument',
    message: /features of 272 of 280 images/,
  });
  await featuresOfImages(extractor, paths, { cache });
  assert.equal(extractor.asked, 280);
  assert.equal((await referenceFeatures(extractor, cache)).count, 280);
});

test('an older file is replaced; a damaged one and one of something else are not', async () => {
  const { paths, cache } = await place(3);
  const extractor = countingExtractor();
  const { logits, ...older } = await featuresOfImages(extractor, paths);
  await writeStoredFeatures(cache, older);
  assert.deepEqual(await referenceFeatures(extractor, cache), older);
  await featuresOfImages(extractor, paths, { cache });
  assert.equal(extractor.asked, 6);

  const whole = readFileSync(cache);
  const damaged = { code: 'invalid-checkpoint', message: /delete it, and they are extracted/ };
  for (const length of [0, 5, 100, whole.length - 1]) {
    writeFileSync(cache, whole.subarray(0, length));
    await assert.rejects(featuresOfImages(extractor, paths, { cache }), damaged);
  }
  const features = f32([3, 3], new Float32Array(9));
  const metadata = { extractor: 'pixel', identity: 'bytes', images: '3' };
  const faults = [
    [['features', f32([9], new Float32Array(9))]],
    [
      ['features', features],
      ['hashes', f32([3, 1], [1, 2, 3])],
    ],
    [
      ['features', features],
      ['logits', f32([2, 3], new Float32Array(6))],
    ],
  ] as const;
  for (const tensors of faults) {
    await writeSafetensors(cache, tensors, metadata);
    await assert.rejects(featuresOfImages(extractor, paths, { cache }), damaged);
  }

  await writeSafetensors(cache, [['weight', features]]);
  const foreign = readFileSync(cache);
  await assert.rejects(featuresOfImages(extractor, paths, { cache }), {
    code: 'invalid-checkpoint',
    message: /holds no features of images.* move it away/,
  });
  assert.deepEqual(readFileSync(cache), foreign);
  const otherCaches = [cache];
  await featuresOfImages(extractor, paths, { cache: `${cache}2`, otherCaches });
  assert.equal(extractor.asked, 9);
});

test('a reference is of its extractor, with its weights, and has images', async () => {
  const { folder, paths, cache } = await place(4);
  await featuresOfImages(pixelExtractor(), paths, { cache });
  const message = /features of "pixel" and not of/;
  for (const other of [pixelExtractor('other'), pixelExtractor('pixel', 'weights')]) {
    await assert.rejects(referenceFeatures(other, cache), { code: 'invalid-argument', message });
  }
  mkdirSync(join(folder, 'empty'));
  await assert.rejects(referenceFeatures(pixelExtractor(), join(folder, 'empty')), {
    code: 'invalid-argument',
  });
  await assert.rejects(referenceFeatures(pixelExtractor(), join(folder, 'absent')), {
    code: 'not-found',
  });
});
