import assert from 'node:assert/strict';
import { copyFile, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { inFolder } from '../../../test/fuzz/in-folder.ts';
import { f32, type Tensor } from '../../core/tensor.ts';
import type { Image } from '../../io/image-data.ts';
import { encodePng } from '../../io/png.ts';
import { writeSafetensors } from '../../io/safetensors.ts';
import { EpochOrder } from './epoch-order.ts';
import { centreCrop, readTrainingImage } from './prepare-image.ts';
import { type CacheLookup, latentsKey, TensorCache, textEmbeddingsKey } from './tensor-cache.ts';

test('every epoch takes each sample once, in an order of its own', () => {
  const order = new EpochOrder(7, 3);
  const epochs = [0, 1, 2].map(() => order.next(7));
  const all = [0, 1, 2, 3, 4, 5, 6];
  for (const epoch of epochs) assert.deepEqual(epoch.toSorted(), all);
  assert.equal(new Set(epochs.map(String)).size, 3);
  assert.notDeepEqual(new EpochOrder(7, 4).next(7), epochs[0]);
});

test('batches run over into the next epoch, and the order does not depend on their size', () => {
  const whole = new EpochOrder(5, 3).next(30);
  const order = new EpochOrder(5, 3);
  const parts = [3, 3, 1, 13, 10].flatMap((size) => order.next(size));
  assert.deepEqual(parts, whole);
  assert.deepEqual(order.position, { epoch: 6, taken: 0 });
});

test('an order is taken up at any position', () => {
  const whole = new EpochOrder(5, 3).next(17);
  for (let done = 0; done < 15; done++) {
    const first = new EpochOrder(5, 3);
    first.next(done);
    const position = JSON.parse(JSON.stringify(first.position));
    assert.deepEqual(new EpochOrder(5, 3, position).next(17 - done), whole.slice(done));
  }
});

test('positions outside the data set are refused', () => {
  const refused = (count: number, epoch: number, taken: number) =>
    assert.throws(() => new EpochOrder(count, 1, { epoch, taken }), { code: 'invalid-argument' });
  refused(0, 0, 0);
  refused(5, 0, 5);
  refused(5, -1, 0);
  refused(5, 0, 0.5);
});

/** Every pixel says where it was: red is x, green is y. */
function gradientImage(width: number, height: number): Image {
  const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    const pixel = Math.floor(i / 3);
    return [pixel % width, Math.floor(pixel / width), 7][i % 3];
  });
  return { width, height, channels: 3, data };
}

test('the largest rectangle is cut from the middle', () => {
  const corner = ({ width, height, data }: Image) => [width, height, data[0], data[1]];
  const wide = gradientImage(20, 9);
  assert.deepEqual(corner(centreCrop(wide, { width: 64, height: 64 })), [9, 9, 5, 0]);
  assert.deepEqual(corner(centreCrop(wide, { width: 128, height: 64 })), [18, 9, 1, 0]);
  assert.deepEqual(corner(centreCrop(wide, { width: 300, height: 10 })), [20, 1, 0, 4]);
  const cut = centreCrop(gradientImage(9, 20), { width: 1, height: 1 });
  assert.deepEqual(corner(cut), [9, 9, 0, 5]);
  assert.deepEqual([...cut.data.slice(-3)], [8, 13, 7]);
  assert.equal(centreCrop(wide, { width: 40, height: 18 }), wide);
  assert.throws(() => centreCrop(wide, { width: 0, height: 1 }), { code: 'invalid-argument' });
});

test('a training image has the size asked for and shows the middle', async () => {
  const file = encodePng(gradientImage(200, 100));
  const image = await readTrainingImage(file, { width: 50, height: 50 });
  assert.deepEqual([image.width, image.height, image.channels], [50, 50, 3]);
  const columns = Array.from({ length: 50 }, (_, x) => image.data[(25 * 50 + x) * 3]);
  // Column x covers the columns 50 + 2x and 51 + 2x of the original.
  for (const [x, red] of columns.slice(3, -3).entries()) {
    assert.ok(Math.abs(red - (50.5 + 2 * (x + 3))) <= 1, `column ${x + 3} is ${red}`);
  }
  await assert.rejects(readTrainingImage(file.subarray(0, 60), { width: 8, height: 8 }), {
    code: 'invalid-image',
  });
});

const SHAPES = { mean: [1, 2, 2, 1] };
const SIZE = { width: 16, height: 16 };
const KEY = latentsKey('123', 'model-a', SIZE);
const ENTRY = new Map<string, Tensor>([['mean', f32(SHAPES.mean, [1, -2, 0.1, 4])]]);

/** A cache with one entry, and where that lies. */
async function withEntry(body: (cache: TensorCache, path: string) => Promise<void>) {
  await inFolder(async (folder) => {
    const cache = new TensorCache(join(folder, 'cache'));
    assert.deepEqual(await cache.read(KEY, SHAPES), { kind: 'absent' });
    await cache.write(KEY, ENTRY);
    await body(cache, cache.pathOf(KEY));
  });
}

function assertStale(lookup: CacheLookup, reason: RegExp): void {
  assert.ok(lookup.kind === 'stale', lookup.kind);
  assert.match(lookup.reason, reason);
  assert.match(lookup.reason, /\.$/);
}

test('what is cached is found again, bit for bit', async () => {
  await withEntry(async (cache, path) => {
    assert.deepEqual(await cache.read(KEY, SHAPES), { kind: 'found', tensors: ENTRY });
    assert.equal((await readdir(dirname(path))).length, 1);
  });
});

test('content, model, size and kind have entries of their own', async () => {
  await withEntry(async (cache) => {
    const others = [
      latentsKey('124', 'model-a', SIZE),
      latentsKey('123', 'model-b', SIZE),
      latentsKey('123', 'model-a', { width: 16, height: 8 }),
      textEmbeddingsKey([1, 23], 'model-a'),
      textEmbeddingsKey([12, 3], 'model-a'),
    ];
    const paths = new Set([KEY, ...others].map((key) => cache.pathOf(key)));
    assert.equal(paths.size, 6);
    for (const key of others) assert.equal((await cache.read(key, SHAPES)).kind, 'absent');
  });
});

test('an entry that is not what it should be is stale, with a reason', async () => {
  await withEntry(async (cache, path) => {
    assertStale(await cache.read(KEY, { mean: [4] }), /F32\[1, 2, 2, 1\] instead of F32\[4\]/);
    assertStale(await cache.read(KEY, { logvar: SHAPES.mean }), /has no logvar/);
    assertStale(await cache.read(KEY, { ...SHAPES, logvar: [1] }), /holds mean instead of mean, l/);
    const other = latentsKey('9', 'model-a', SIZE);
    await cache.write(other, ENTRY);
    await copyFile(cache.pathOf(other), path);
    assertStale(await cache.read(KEY, SHAPES), /was made for something else/);
    await cache.write(KEY, ENTRY);
    assert.equal((await cache.read(KEY, SHAPES)).kind, 'found');
  });
});

test('an entry is made once, and once more when it is stale', async () => {
  await inFolder(async (folder) => {
    const cache = new TensorCache(folder);
    const made: string[] = [];
    const stale: string[] = [];
    const get = (name: string) =>
      cache.readOrMake(
        KEY,
        SHAPES,
        async () => {
          made.push(name);
          return ENTRY;
        },
        (reason) => stale.push(reason),
      );
    for (const name of ['first', 'second']) assert.deepEqual(await get(name), ENTRY);
    assert.deepEqual([made, stale], [['first'], []]);
    await truncate(cache.pathOf(KEY), 30);
    for (const name of ['third', 'fourth']) assert.deepEqual(await get(name), ENTRY);
    assert.deepEqual(made, ['first', 'third']);
    assert.equal(stale.length, 1);
  });
});

test('no damage to an entry goes unnoticed', async () => {
  await withEntry(async (cache, path) => {
    const sound = await readFile(path);
    for (let length = 0; length < sound.length; length += 7) {
      await truncate(path, length);
      assertStale(await cache.read(KEY, SHAPES), /./);
      await writeFile(path, sound);
    }
    for (let at = sound.length - 16; at < sound.length; at++) {
      const changed = Buffer.from(sound);
      changed[at] ^= 1;
      await writeFile(path, changed);
      assertStale(await cache.read(KEY, SHAPES), /changed since it was written/);
    }
    const metadata = JSON.parse(sound.toString('utf8', 8, sound.indexOf('}}') + 2)).__metadata__;
    await writeSafetensors(path, [['mean', f32(SHAPES.mean, [1, 2, Number.NaN, 4])]], metadata);
    assertStale(await cache.read(KEY, SHAPES), /changed since/);
  });
});

test('numbers that are not finite are not cached', async () => {
  await inFolder(async (folder) => {
    const cache = new TensorCache(folder);
    const bad = new Map([['mean', f32([1], [Number.POSITIVE_INFINITY])]]);
    await assert.rejects(cache.write(KEY, bad), { code: 'non-finite', message: /latents.*mean/ });
    const half = new Map<string, Tensor>([
      ['mean', { dtype: 'bf16', shape: [1], data: Uint16Array.of(0x3f80) }],
    ]);
    await assert.rejects(cache.write(KEY, half), { code: 'invalid-argument', message: /bf16/ });
    assert.deepEqual(await readdir(folder), []);
  });
});

test('a cache where a file stands in the way gives one sentence', async () => {
  await inFolder(async (folder) => {
    await writeFile(join(folder, 'file'), '');
    const cache = new TensorCache(join(folder, 'file'));
    await assert.rejects(cache.write(KEY, ENTRY), {
      code: 'io',
      message: /not a folder|in its place/,
    });
  });
});
