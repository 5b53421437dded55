import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hashedUniform } from '../models/random-weights.ts';
import { forEachRowOfDistances, rowDistance } from './distances.ts';
import type { FeatureRows } from './feature-extractor.ts';
import { inceptionScore } from './inception-score.ts';
import { kernelDistance } from './kernel-distance.ts';
import { diversity, meanPairwiseDistance, pairedDistances } from './paired-distance.ts';
import { precisionRecall } from './precision-recall.ts';
import { ssim } from './ssim.ts';

function rows(name: string, count: number, dimensions = 6, shift = 0): FeatureRows {
  const data = hashedUniform(name, [count, dimensions], 1).data as Float32Array;
  return { data: data.map((value) => value + shift), dimensions };
}

const REFUSED = { code: 'invalid-argument' };

test('distances in blocks are those of the rows', async () => {
  const [a, b] = [rows('a', 1100, 3, 100), rows('b', 1030, 3, 100)];
  let seen = 0;
  await forEachRowOfDistances(a, b, (i, first, squared) => {
    seen += squared.length;
    for (const [at, value] of squared.entries()) {
      const j = first + at;
      if ((i * 7 + j) % 1009 !== 0) continue;
      const expected = rowDistance(a, i, b, j);
      assert.ok(Math.abs(Math.sqrt(value) - expected) < 1e-3, `${i} ${j}`);
    }
  });
  assert.equal(seen, 1100 * 1030);
});

test('a set has full precision and recall of itself, none of one far away', async () => {
  const here = rows('here', 40);
  assert.deepEqual(await precisionRecall(here, here), { precision: 1, recall: 1, neighbours: 3 });
  const there = rows('there', 30, 6, 50);
  const apart = await precisionRecall(here, there, { neighbours: 2 });
  assert.deepEqual(apart, { precision: 0, recall: 0, neighbours: 2 });
});

test('half of a set is precise, and recalls less', async () => {
  const whole = { data: Float32Array.of(0, 1, 2, 3, 100, 101, 102, 103), dimensions: 1 };
  const half = { data: Float32Array.of(0.5, 1.5, 2.5, 1.2), dimensions: 1 };
  const { precision, recall } = await precisionRecall(whole, half, { neighbours: 1 });
  assert.deepEqual([precision, recall], [1, 0.5]);
});

test('precision and recall want more images than neighbours', async () => {
  await assert.rejects(precisionRecall(rows('a', 3), rows('b', 9)), REFUSED);
  await assert.rejects(precisionRecall(rows('a', 9), rows('b', 9, 5)), REFUSED);
});

test('kernel distance: seeds decide the subsets, equal sets are about zero apart', async () => {
  const [a, b, far] = [rows('a', 80), rows('b', 90), rows('far', 80, 6, 0.5)];
  const options = { subsets: 8, subsetSize: 30, seed: 5 };
  const first = await kernelDistance(a, far, options);
  assert.deepEqual(await kernelDistance(a, far, options), first);
  assert.notEqual((await kernelDistance(a, far, { ...options, seed: 6 })).distance, first.distance);
  const near = await kernelDistance(a, b, options);
  assert.ok(Math.abs(near.distance) < 3 * near.deviation, `${near.distance}`);
  assert.ok(first.distance > 10 * Math.abs(near.distance));
});

test('kernel distance refuses subsets that there are not', async () => {
  const a = rows('a', 10);
  await assert.rejects(kernelDistance(a, a, { subsetSize: 11 }), REFUSED);
  await assert.rejects(kernelDistance(a, a, { subsetSize: 1 }), REFUSED);
  await assert.rejects(kernelDistance(a, a, { subsets: 0 }), REFUSED);
  await assert.rejects(kernelDistance(a, rows('a', 10, 5)), REFUSED);
});

test('Inception Score is 1 for images alike and the number of classes for sure and even ones', async () => {
  const alike = Float32Array.from({ length: 12 * 4 }, (_, i) => i % 4);
  const { score } = await inceptionScore(alike, 4, { splits: 3 });
  assert.ok(Math.abs(score - 1) < 1e-12);
  const sure = Float32Array.from({ length: 12 * 4 }, (_, i) =>
    i % 4 === Math.floor(i / 4) % 4 ? 1000 : 0,
  );
  const even = await inceptionScore(sure, 4, { splits: 3 });
  assert.ok(Math.abs(even.score - 4) < 1e-9);
  assert.ok(even.deviation < 1e-9);
  await assert.rejects(inceptionScore(alike, 4, { splits: 13 }), REFUSED);
});

test('diversity averages over prompts', () => {
  const line = (...data: number[]): FeatureRows => ({
    data: Float32Array.from(data),
    dimensions: 1,
  });
  assert.equal(meanPairwiseDistance(line(0, 3, 6)), 4);
  const { mean, standardError, prompts } = diversity([line(0, 3, 6), line(1, 3), line(5, 5)]);
  assert.deepEqual([mean, prompts], [2, 3]);
  assert.ok(Math.abs(standardError - 2 / Math.sqrt(3)) < 1e-12);
  assert.deepEqual(pairedDistances(line(1, 2), line(1, 5)), [0, 3]);
  assert.throws(() => diversity([]), REFUSED);
  assert.throws(() => meanPairwiseDistance(line(1)), REFUSED);
  assert.throws(() => pairedDistances(line(1), line(1, 2)), REFUSED);
});

test('SSIM wants images of one size that hold the window', async () => {
  const image = (width: number, height: number) => ({
    width,
    height,
    channels: 1,
    data: new Uint8Array(width * height),
  });
  assert.equal(await ssim(image(11, 11), image(11, 11)), 1);
  await assert.rejects(ssim(image(10, 20), image(10, 20)), REFUSED);
  await assert.rejects(ssim(image(20, 12), image(12, 20)), REFUSED);
});
