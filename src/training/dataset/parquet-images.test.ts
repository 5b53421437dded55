import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { appendFile, copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import zlib from 'node:zlib';
import { inFolder } from '../../../test/fuzz/in-folder.ts';
import { readImage } from '../../io/image.ts';
import type { CaptionedImages } from './captioned-images.ts';
import { openImages } from './open-images.ts';
import type { ParquetOptions } from './parquet-images.ts';

const GOLDEN = join(import.meta.dirname, '../../../test/golden/parquet');
const EXPECTED: Record<string, { count: number; images: string; captions: string }> = JSON.parse(
  await readFile(join(GOLDEN, 'expected.json'), 'utf8'),
);
const file = (name: string) => join(GOLDEN, `${name}.parquet`);

const sha256 = (data: string | Uint8Array) => createHash('sha256').update(data).digest('hex');
const digest = (parts: readonly (string | Uint8Array)[]) => sha256(parts.map(sha256).join(''));

async function using<T>(
  path: string,
  body: (images: CaptionedImages) => Promise<T>,
  options?: ParquetOptions,
): Promise<T> {
  const images = await openImages(path, options);
  try {
    return await body(images);
  } finally {
    await images.close();
  }
}

const indices = ({ count }: CaptionedImages) => Array.from({ length: count }, (_, i) => i);

for (const [name, expected] of Object.entries(EXPECTED)) {
  // Node before 22.15 has no zstd.
  const skip = name === 'zstd' && !zlib.zstdDecompress;
  test(`${name}.parquet holds what it was written with`, { skip }, async () => {
    await using(file(name), async (images) => {
      assert.equal(images.count, expected.count);
      const all = indices(images);
      assert.equal(digest(all.map((i) => images.caption(i))), expected.captions);
      // From the last to the first, so that no read helps the next.
      const contents = new Map<number, Uint8Array>();
      for (const i of all.toReversed()) contents.set(i, await images.read(i));
      assert.equal(digest(all.map((i) => contents.get(i)!)), expected.images);
      assert.equal(new Set(all.map((i) => images.contentHash(i))).size, expected.count);
      const { width, height } = await readImage(contents.get(3)!);
      assert.deepEqual([width, height], [8, 6]);
    });
  });
}

test('columns are found by their usual names, or by those given', async () => {
  const first = (images: CaptionedImages) => Promise.resolve(images.caption(1));
  assert.equal(await using(file('datasets'), first), 'ein grünes Feld');
  const paths = { captionColumn: 'image.path' };
  assert.equal(await using(file('datasets'), first, paths), '1.png');
  assert.equal(await using(file('datasets'), first, { captions: 'ignored' }), '');
  const none = {
    code: 'invalid-argument',
    message: /columns label, image, text and no photo; name/,
  };
  await assert.rejects(openImages(file('gzip'), { imageColumn: 'photo' }), none);
  await assert.rejects(openImages(file('refused-paths-alone')), {
    message: /has 1 rows with noth/,
  });
});

const REFUSED: Record<string, RegExp> = {
  encoding: /has FIXED_LEN_BYTE_ARRAY in its column image, which Bookend does not read/,
  lists: /has lists in its column text\.list\.element, which/,
  numbers: /has INT64 in its column text, which/,
  'latin-1': /^Row 0 of \S+ has a caption of 4 bytes that is no text in UTF-8/,
  empty: /has no row/,
};

for (const [name, message] of Object.entries(REFUSED)) {
  test(`what ${name}.parquet holds is refused in one sentence`, async () => {
    await assert.rejects(openImages(file(`refused-${name}`)), { name: 'BookendError', message });
  });
}

test('a folder of Parquet files is one data set, in the order of their names', async () => {
  await inFolder(async (folder) => {
    await copyFile(file('zstd'), join(folder, 'b.parquet'));
    await copyFile(file('gzip'), join(folder, 'a.parquet'));
    await writeFile(join(folder, 'dataset_info.json'), '{}');
    await using(folder, async (images) => {
      assert.equal(images.count, 14);
      assert.equal(images.caption(8), 'ein grünes Feld');
      assert.match(images.nameOf(8), /^Row 1 of \S+b\.parquet$/);
      assert.deepEqual(await images.read(8), await images.read(1));
    });
    await writeFile(join(folder, 'c.png'), '');
    await assert.rejects(openImages(folder), { message: /a\.parquet as well as c\.png; name/ });
    await assert.rejects(openImages(join(folder, 'c.png')), { message: /not a \.parquet/ });
    await assert.rejects(openImages(join(folder, 'd.parquet')), { code: 'not-found' });
  });
});

test('the identity follows the content, not the path', async () => {
  await inFolder(async (folder) => {
    const copy = join(folder, 'copy.parquet');
    await copyFile(file('nulls'), copy);
    const identity = (path: string, options?: ParquetOptions) =>
      using(path, async (images) => images.identity, options);
    assert.equal(await identity(copy), await identity(file('nulls')));
    assert.notEqual(await identity(copy, { captions: 'ignored' }), await identity(copy));
    const images = await openImages(copy);
    await appendFile(copy, 'x');
    await assert.rejects(images.read(0), { code: 'invalid-argument', message: /has changed/ });
    await images.close();
    await assert.rejects(openImages(copy), { message: /does not begin and end with PAR1/ });
  });
});
