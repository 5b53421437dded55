import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { crc32, deflateSync } from 'node:zlib';
import { inFolder } from '../../test/fuzz/in-folder.ts';
import { readImage } from './image.ts';
import type { Image } from './image-data.ts';
import { encodePng, type PngText, writePng } from './png.ts';
import { readPngText } from './png-text.ts';

/** Smooth in one corner, noisy in the other, so that every filter is best somewhere. */
function picture(width: number, height: number, channels: 1 | 3 | 4): Image {
  const data = new Uint8Array(width * height * channels);
  let state = 1;
  for (let i = 0; i < data.length; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    const pixel = Math.floor(i / channels);
    const [x, y] = [pixel % width, Math.floor(pixel / width)];
    const noise = y > height / 2 ? (state >>> 16) & 0xff : 0;
    data[i] = (x * 7 + y * 3 * (i % channels) + noise) & 0xff;
  }
  return { width, height, channels, data };
}

test('pixels survive the round trip through an independent decoder', async () => {
  for (const [width, height] of [
    [1, 1],
    [3, 2],
    [64, 48],
    [1, 200],
    [200, 1],
  ]) {
    for (const channels of [3, 4] as const) {
      const image = picture(width, height, channels);
      const decoded = await readImage(encodePng(image), { channels });
      assert.deepEqual(decoded, image);
    }
  }
  const gray = picture(16, 16, 1);
  const decoded = await readImage(encodePng(gray));
  assert.deepEqual(
    [...decoded.data].filter((_, i) => i % 3 === 0),
    [...gray.data],
  );
});

test('filters make smooth pictures smaller than storing rows as they are', () => {
  const image = picture(128, 64, 3);
  assert.ok(encodePng(image).length < deflateSync(image.data).length);
});

test('text is written and read back, in Latin-1 and beyond', async () => {
  const text = {
    parameters: 'a café\nNegative prompt: b\nSteps: 20, Sampler: DDIM',
    Title: '富士山 🗻',
    Empty: '',
  };
  const bytes = encodePng(picture(4, 4, 3), text);
  assert.deepEqual(await readPngText(bytes), text);
  assert.ok(bytes.includes('tEXtparameters\0a caf\xe9\n', 0, 'latin1'));
  assert.ok(bytes.includes('iTXtTitle\0\0\0\0\0富士山', 0, 'utf8'));
});

test('text that PNG cannot hold is refused', () => {
  const keywords = ['', ' a', 'é', 'k'.repeat(80)];
  const texts: PngText[] = [...keywords.map((keyword) => ({ [keyword]: 'x' })), { a: '\0' }];
  for (const text of texts) {
    assert.throws(() => encodePng(picture(1, 1, 3), text), { code: 'invalid-argument' });
  }
});

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32BE(data.length, 0);
  bytes.writeUInt32BE(crc32(body), 4);
  return Buffer.concat([bytes.subarray(0, 4), body, bytes.subarray(4)]);
}

/** A PNG with `extra` after the header chunk. */
function withChunk(extra: Buffer): Buffer {
  const png = encodePng(picture(2, 2, 3));
  return Buffer.concat([png.subarray(0, 33), extra, png.subarray(33)]);
}

test('compressed text is read, a bomb and broken chunks are refused', async () => {
  const deflated = deflateSync(Buffer.from('hello'));
  const zTXt = chunk('zTXt', Buffer.concat([Buffer.from('k\0\0'), deflated]));
  assert.deepEqual(await readPngText(withChunk(zTXt)), { k: 'hello' });
  const iTXt = chunk('iTXt', Buffer.concat([Buffer.from('k\0\x01\0de\0wort\0'), deflated]));
  assert.deepEqual(await readPngText(withChunk(iTXt)), { k: 'hello' });
  const bomb = deflateSync(Buffer.alloc(50_000_000));
  for (const [type, data] of [
    ['zTXt', Buffer.concat([Buffer.from('k\0\0'), bomb])],
    ['zTXt', Buffer.from('k\0\0nonsense')],
    ['tEXt', Buffer.from('no end')],
    ['iTXt', Buffer.from('k\0')],
  ] as const) {
    await assert.rejects(readPngText(withChunk(chunk(type, data))), { code: 'invalid-image' });
  }
});

test('truncated PNGs and wrong checksums are refused', async () => {
  const png = encodePng(picture(4, 4, 3), { parameters: 'x' });
  for (let length = 0; length < png.length; length++) {
    await assert.rejects(readPngText(png.subarray(0, length)), { code: 'invalid-image' });
  }
  const flipped = Buffer.from(png);
  flipped[45] ^= 1;
  await assert.rejects(readPngText(flipped), /checksum/);
});

test('a PNG is written whole or not at all', async () => {
  await inFolder(async (folder) => {
    const path = join(folder, 'a.png');
    await writePng(path, picture(4, 4, 3), { parameters: 'x' });
    assert.deepEqual(await readPngText(path), { parameters: 'x' });
    await mkdir(join(folder, 'b.png'));
    await assert.rejects(writePng(join(folder, 'b.png'), picture(4, 4, 3)), { code: 'io' });
    const wrong = { ...picture(4, 4, 3), width: 5 };
    await assert.rejects(writePng(path, wrong), { code: 'invalid-image' });
    assert.ok((await readFile(path)).length > 0);
    assert.deepEqual((await readdir(folder)).sort(), ['a.png', 'b.png']);
    await writeFile(join(folder, 'c.png'), 'no image');
    await assert.rejects(readPngText(join(folder, 'c.png')), /c\.png is not a PNG/);
  });
});
