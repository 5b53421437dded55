import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pixelExtractor } from '../../../test/support/pixel-images.ts';
import { featureStatistics } from '../../evaluation/feature-statistics.ts';
import { crc32 } from '../../io/crc32.ts';
import { parseNpy } from '../../io/npy.ts';
import { hashedUniform } from '../../models/random-weights.ts';
import { loadReference } from './load-reference.ts';
import { setMetrics } from './set-metrics.ts';
import { readStatistics } from './stored-statistics.ts';

const scratch = mkdtempSync(join(tmpdir(), 'bookend-statistics-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

const FIXTURES = join(import.meta.dirname, '../../../test/golden/metrics');
const fixture = (name: string) => join(FIXTURES, `statistics-${name}.npz`);
const DIMENSIONS = 24;

/** What make_statistics.py made statistics of. */
const data = (hashedUniform('real', [60, DIMENSIONS], 1).data as Float32Array).map(
  (value, i) => value * 0.5 ** ((i % DIMENSIONS) % 12),
);

test("NumPy's statistics are those of the features", async () => {
  const expected = await featureStatistics(data, DIMENSIONS);
  for (const name of ['stored', 'deflated']) {
    const { mean, covariance, dimensions, count } = await readStatistics(fixture(name));
    assert.deepEqual([dimensions, count], [DIMENSIONS, undefined]);
    for (const [a, b] of [
      [mean, expected.mean],
      [covariance, expected.covariance],
    ]) {
      assert.equal(a.length, b.length);
      for (const [i, value] of b.entries()) assert.ok(Math.abs(a[i] - value) < 1e-15, `${i}`);
    }
  }
});

test('a set is compared with statistics by the Fréchet distance alone', async () => {
  const extractor = { ...pixelExtractor(), dimensions: DIMENSIONS };
  const reference = await loadReference(extractor, fixture('deflated'));
  const features = { data, dimensions: DIMENSIONS, count: 60, extractor: 'pixel' };
  const metrics = await setMetrics(features, { reference });
  assert.ok(metrics.reference!.frechet.distance < 1e-7);
  assert.deepEqual(Object.keys(metrics.reference!), ['frechet']);
  assert.equal(metrics.notes.length, 1);
  assert.match(metrics.notes[0], /no kernel distance, precision and recall/);
  await assert.rejects(loadReference(pixelExtractor(), fixture('deflated')), {
    code: 'invalid-argument',
    message: /statistics of 24 features and pixel has 3/,
  });
});

test('objects are never read, nor what is no statistics', async () => {
  await assert.rejects(readStatistics(fixture('objects')), {
    code: 'unsupported',
    message: /holds Python objects/,
  });
  const path = join(scratch, 'text.npz');
  writeFileSync(path, 'mu and sigma');
  await assert.rejects(readStatistics(path), { code: 'invalid-checkpoint' });
  await assert.rejects(readStatistics(join(scratch, 'none.npz')), { code: 'not-found' });
});

/** Puts another number into the last covariances, and its checksum into the directory. */
function withOther(change: (sigma: DataView, end: number) => void): string {
  const bytes = readFileSync(fixture('stored'));
  const directory = bytes.readUInt32LE(bytes.length - 6);
  const content = bytes.subarray(directory - 128 - 8 * DIMENSIONS ** 2, directory);
  change(new DataView(content.buffer, content.byteOffset, content.length), content.length);
  const second = directory + 46 + 'mu.npy'.length;
  bytes.writeUInt32LE(crc32(content), second + 16);
  const path = join(scratch, 'changed.npz');
  writeFileSync(path, bytes);
  return path;
}

test('a sigma that is no covariance is refused', async () => {
  const same = withOther(() => undefined);
  assert.equal((await readStatistics(same)).dimensions, DIMENSIONS);
  const message = /no covariance, at row/;
  for (const [number, fromEnd] of [
    [1, 16],
    [Number.NaN, 16],
    [-1, 8],
    [Number.NaN, 8],
  ]) {
    const path = withOther((sigma, end) => sigma.setFloat64(end - fromEnd, number, true));
    await assert.rejects(readStatistics(path), { code: 'invalid-checkpoint', message });
  }
});

/** As numpy.save writes it. */
function npy(header: string, values: Float32Array | Float64Array, version = 1): Buffer {
  const lengthBytes = version === 1 ? 2 : 4;
  const start = Buffer.alloc(8 + lengthBytes);
  start.write('\x93NUMPY', 'latin1');
  start.writeUInt8(version, 6);
  start.writeUIntLE(header.length, 8, lengthBytes);
  const content = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
  return Buffer.concat([start, Buffer.from(header), content]);
}

test('arrays of NumPy are read in every version and refused where they do not fit', () => {
  const header = (descr: string, order: string, shape: string) =>
    `{'descr': '${descr}', 'fortran_order': ${order}, 'shape': ${shape}, }\n`;
  const doubles = Float64Array.of(1, 2, 3, 4, 5, 6);
  for (const version of [1, 2, 3]) {
    const bytes = npy(header('<f8', 'False', '(2, 3)'), doubles, version);
    assert.deepEqual(parseNpy(bytes, 'a'), { shape: [2, 3], data: doubles });
  }
  const floats = npy(header('<f4', 'True', '(6,)'), Float32Array.from(doubles));
  assert.deepEqual(parseNpy(floats, 'a'), { shape: [6], data: doubles });
  const scalar = npy(header('<f8', 'False', '()'), doubles.slice(0, 1));
  assert.deepEqual(parseNpy(scalar, 'a'), { shape: [], data: Float64Array.of(1) });

  const refused: [Buffer, string][] = [
    [npy(header('<f8', 'True', '(2, 3)'), doubles), 'unsupported'],
    [npy(header('>f8', 'False', '(2, 3)'), doubles), 'unsupported'],
    [npy(header('|O', 'False', '(6,)'), doubles), 'unsupported'],
    [npy(header('<f8', 'False', '(2, 4)'), doubles), 'invalid-checkpoint'],
    [npy(header('<f8', 'False', `(${'9'.repeat(400)},)`), doubles), 'invalid-checkpoint'],
    [npy(header('<f8', 'False', '(1 2, 3)'), doubles), 'invalid-checkpoint'],
    [npy("{'shape': (6,)}", doubles), 'invalid-checkpoint'],
    [npy(header('<f8', 'False', '(2, 3)'), doubles, 4), 'invalid-checkpoint'],
    [floats.subarray(0, 9), 'invalid-checkpoint'],
    [floats.subarray(0, 30), 'invalid-checkpoint'],
    [Buffer.alloc(100), 'invalid-checkpoint'],
  ];
  for (const [bytes, code] of refused) assert.throws(() => parseNpy(bytes, 'a'), { code });
});
