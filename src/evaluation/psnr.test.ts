import assert from 'node:assert/strict';
import { test } from 'node:test';
import { meanSquaredError, psnr } from './psnr.ts';

const image = (...data: number[]) => ({
  width: data.length / 3,
  height: 1,
  channels: 3,
  data: Uint8Array.from(data),
});

test('PSNR of known differences', () => {
  assert.equal(meanSquaredError(image(0, 0, 0), image(3, 0, 0)), 3);
  assert.ok(Math.abs(psnr(image(0, 0, 0), image(1, 1, 1)) - 48.1308) < 1e-4);
  assert.equal(psnr(image(0, 0, 0), image(255, 255, 255)), 0);
  assert.equal(psnr(image(9, 8, 7), image(9, 8, 7)), Number.POSITIVE_INFINITY);
});

test('images of two sizes cannot be compared', () => {
  const two = image(0, 0, 0, 0, 0, 0);
  assert.throws(() => psnr(image(0, 0, 0), two), { code: 'invalid-argument' });
});
