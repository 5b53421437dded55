import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import sharp from 'sharp';
import { inFolder } from '../../test/fuzz/in-folder.ts';
import { readImage, resizeImage } from './image.ts';
import { floatsOfImage, grayscale, type Image, imageOfFloats, maskOfImage } from './image-data.ts';

const create = (width: number, height: number) => ({
  create: { width, height, channels: 3 as const, background: { r: 200, g: 100, b: 50 } },
});

test('PNG, JPEG and WebP are read from a path and from memory', async () => {
  await inFolder(async (folder) => {
    for (const format of ['png', 'jpeg', 'webp'] as const) {
      const path = join(folder, `a.${format}`);
      const bytes = await sharp(create(8, 6)).toFormat(format).toBuffer();
      await writeFile(path, bytes);
      for (const source of [path, bytes]) {
        const { width, height, channels, data } = await readImage(source);
        assert.deepEqual([width, height, channels, data.length], [8, 6, 3, 144]);
        [200, 100, 50].forEach((expected, i) => {
          assert.ok(Math.abs(data[i] - expected) <= 3, `${format} ${data[i]} ${expected}`);
        });
      }
    }
  });
});

test('gray, 16-bit, transparent and rotated images become 8-bit RGB, upright', async () => {
  const gray = await sharp(create(4, 2)).greyscale().toColourspace('b-w').png().toBuffer();
  assert.equal((await readImage(gray)).data.length, 24);
  const deep = await sharp(create(4, 2)).toColourspace('rgb16').png().toBuffer();
  assert.deepEqual([...(await readImage(deep)).data.subarray(0, 3)], [200, 100, 50]);
  const clear = await sharp(create(4, 2)).ensureAlpha(0.5).png().toBuffer();
  assert.deepEqual([...(await readImage(clear)).data.subarray(0, 3)], [200, 100, 50]);
  assert.deepEqual((await readImage(clear, { channels: 4 })).data[3], 127);
  const turned = await sharp(create(4, 2)).withMetadata({ orientation: 6 }).jpeg().toBuffer();
  const { width, height } = await readImage(turned);
  assert.deepEqual([width, height], [2, 4]);
});

test('damaged, foreign and huge images are refused in one sentence', async () => {
  const refused = (message: RegExp) => ({ name: 'BookendError', code: 'invalid-image', message });
  const jpeg = await sharp(create(64, 64)).jpeg().toBuffer();
  const png = await sharp(create(64, 64)).png().toBuffer();
  const gif = await sharp(create(4, 4)).gif().toBuffer();
  await assert.rejects(readImage(jpeg.subarray(0, -100)), refused(/not a sound/));
  await assert.rejects(readImage(png.subarray(0, -30)), refused(/not a sound/));
  await assert.rejects(readImage(Buffer.from('text')), refused(/not a sound/));
  await assert.rejects(readImage(Buffer.alloc(0)), refused(/not a sound/));
  await assert.rejects(readImage(gif), refused(/format gif/));
  await assert.rejects(readImage(png, { maxPixels: 4095 }), refused(/64×64 pixels, more than/));
  const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>');
  await assert.rejects(readImage(svg), { code: 'invalid-image' });
  await inFolder(async (folder) => {
    await assert.rejects(readImage(join(folder, 'none.png')), { code: 'not-found' });
    await assert.rejects(readImage(folder), { code: 'io' });
  });
});

test('resizing gives the size asked for and keeps flat colors', async () => {
  const data = new Uint8Array(8 * 8 * 3).fill(77);
  const {
    width,
    height,
    channels,
    data: out,
  } = await resizeImage({ width: 8, height: 8, channels: 3, data }, 5, 16);
  assert.deepEqual([width, height, channels], [5, 16, 3]);
  assert.ok(out.every((byte) => byte === 77));
  const gray: Image = { width: 8, height: 8, channels: 1, data: data.subarray(0, 64) };
  assert.equal((await resizeImage(gray, 4, 4)).data.length, 16);
  for (const size of [0, 1.5, 20_000, Number.NaN]) {
    await assert.rejects(resizeImage(gray, size, 8), { code: 'invalid-argument' });
  }
});

test('bytes and floats convert both ways', () => {
  const data = Uint8Array.from({ length: 256 * 3 }, (_, i) => i % 256);
  const image: Image = { width: 256, height: 1, channels: 3, data };
  const floats = floatsOfImage(image);
  assert.equal(floats[0], -1);
  assert.equal(floats[255], 1);
  assert.deepEqual(imageOfFloats(floats, 256, 1), image);
});

test('floats are clamped, and halves go to even as in numpy', () => {
  // (value / 2 + 0.5) * 255 is exactly 127.5 at 0, which numpy rounds to 128.
  const values = Float32Array.of(-3, 3, 0, Number.POSITIVE_INFINITY, -1, 1);
  assert.deepEqual([...imageOfFloats(values, 2, 1).data], [0, 255, 128, 255, 0, 255]);
  assert.throws(() => imageOfFloats(Float32Array.of(Number.NaN, 0, 0), 1, 1), {
    code: 'non-finite',
  });
  assert.throws(() => imageOfFloats(values, 3, 1), { code: 'invalid-image' });
});

test('gray is what Pillow computes; masks cut at the middle', () => {
  // Image.new("RGB", (1, 1), color).convert("L") of Pillow gives 76, 150, 29, 124.
  const data = Uint8Array.of(255, 0, 0, 0, 255, 0, 0, 0, 255, 200, 100, 50);
  const image: Image = { width: 4, height: 1, channels: 3, data };
  assert.deepEqual([...grayscale(image).data], [76, 150, 29, 124]);
  assert.deepEqual([...maskOfImage(image)], [0, 1, 0, 0]);
  const edge: Image = { width: 2, height: 1, channels: 1, data: Uint8Array.of(127, 128) };
  assert.deepEqual([...maskOfImage(edge)], [0, 1]);
});
