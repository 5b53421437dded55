import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clipLogits, clipScores, unitEmbeddings } from './clip-score.ts';

const images = unitEmbeddings(Float32Array.of(3, 4, 0, -2), 2);
const texts = unitEmbeddings(Float32Array.of(6, 8, 0, 5), 2);

test('scores are 100 cosines of each image and its text, none below 0', () => {
  const [same, opposite] = clipScores(images, texts);
  assert.ok(Math.abs(same - 100) < 1e-4);
  assert.equal(opposite, 0);
});

test('logits are those of every image with every text', () => {
  const logits = clipLogits(images, texts, 10);
  const expected = [
    [10, 8],
    [-8, -10],
  ];
  for (const [i, row] of expected.entries()) {
    for (const [j, value] of row.entries()) assert.ok(Math.abs(logits[i][j] - value) < 1e-5);
  }
});

test('scores need a text for each image', () => {
  const one = unitEmbeddings(Float32Array.of(1, 0), 2);
  assert.throws(() => clipScores(images, one), { code: 'invalid-argument' });
});
