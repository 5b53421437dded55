import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { FeatureRows } from '../../../src/evaluation/feature-extractor.ts';
import { featureStatistics } from '../../../src/evaluation/feature-statistics.ts';
import { frechetDistance } from '../../../src/evaluation/frechet-distance.ts';
import { inceptionScore } from '../../../src/evaluation/inception-score.ts';
import { kernelDistance } from '../../../src/evaluation/kernel-distance.ts';
import { meanPairwiseDistance, pairedDistances } from '../../../src/evaluation/paired-distance.ts';
import { precisionRecall } from '../../../src/evaluation/precision-recall.ts';
import { psnr } from '../../../src/evaluation/psnr.ts';
import { ssim } from '../../../src/evaluation/ssim.ts';
import type { Image } from '../../../src/io/image-data.ts';
import { hashedUniform } from '../../../src/models/random-weights.ts';

/** What make.py wrote. */
const expected = JSON.parse(readFileSync(`${import.meta.dirname}/metrics.json`, 'utf8'));

const DIMENSIONS = 24;
const CLASSES = 10;

function features(name: string, count: number, scale: number, shift: number): FeatureRows {
  const data = hashedUniform(name, [count, DIMENSIONS], 1).data as Float32Array;
  const column = (i: number) => 0.5 ** ((i % DIMENSIONS) % 12);
  return {
    data: data.map((value, i) => (value * scale + shift) * column(i)),
    dimensions: DIMENSIONS,
  };
}

const real = features('real', 60, 1, 0);
const generated = features('generated', 60, 0.8, 0.25);
const first = (rows: FeatureRows, count: number): FeatureRows => ({
  data: rows.data.subarray(0, count * DIMENSIONS),
  dimensions: DIMENSIONS,
});
const statistics = ({ data, dimensions }: FeatureRows) => featureStatistics(data, dimensions);

function assertNear(actual: number, value: number, relative: number): void {
  const off = Math.abs(actual - value);
  assert.ok(off <= relative * Math.abs(value), `${actual} instead of ${value}, off by ${off}`);
}

test("Fréchet distance is pytorch-fid's", async () => {
  const { distance, warning } = await frechetDistance(
    await statistics(real),
    await statistics(generated),
  );
  assertNear(distance, expected.frechet, 1e-9);
  assert.equal(warning, undefined);
});

test('Fréchet distance of too few images is the same, with a warning', async () => {
  const few = await statistics(first(real, 9));
  const { distance, warning } = await frechetDistance(few, await statistics(generated));
  // pytorch-fid takes the square root of a singular matrix, which is good to half the digits.
  assertNear(distance, expected.frechetOfFew, 1e-5);
  assert.match(warning ?? '', /^9 images are too few .* 24 features, which has only rank 8;/);
});

test('kernel distance is the unbiased estimate', async () => {
  const { distance, subsetSize } = await kernelDistance(real, generated, { subsets: 1 });
  assertNear(distance, expected.kernel, 1e-5);
  assert.equal(subsetSize, 60);
});

test('precision and recall are those of all distances at once', async () => {
  const { precision, recall } = await precisionRecall(real, generated);
  assert.deepEqual([precision, recall], expected.precisionRecall);
});

test('Inception Score is the divergence from the marginal', async () => {
  const logits = hashedUniform('logits', [40, CLASSES], 3).data as Float32Array;
  const { score, deviation } = await inceptionScore(logits, CLASSES, { splits: 4 });
  assertNear(score, expected.inceptionScore[0], 1e-10);
  assertNear(deviation, expected.inceptionScore[1], 1e-9);
});

test('distances of pairs are Euclidean', () => {
  const paired = pairedDistances(real, generated);
  for (const [i, value] of expected.paired.entries()) assertNear(paired[i], value, 1e-12);
  assertNear(meanPairwiseDistance(first(real, 7)), expected.pairwise, 1e-12);
});

test("SSIM and PSNR are scikit-image's", async () => {
  const [width, height] = [29, 17];
  const bits = (name: string, shift: number) =>
    hashedUniform(name, [width * height * 3], 1).data.map((value) =>
      Math.floor((value + 1) * 2 ** (31 - shift)),
    );
  const a = bits('a', 24);
  const noise = bits('noise', 26);
  const image = (data: Uint8Array): Image => ({ width, height, channels: 3, data });
  const clean = image(Uint8Array.from(a));
  const noisy = image(Uint8Array.from(a, (value, i) => Math.min(255, value + noise[i])));
  assertNear(await ssim(clean, noisy), expected.ssim, 1e-10);
  assertNear(psnr(clean, noisy), expected.psnr, 1e-12);
  assert.equal(await ssim(clean, clean), 1);
});
