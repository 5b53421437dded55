import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hashedUniform } from '../models/random-weights.ts';
import { featureStatistics, RunningStatistics } from './feature-statistics.ts';

const DIMENSIONS = 7;

function features(name: string, count: number, offset = 0): Float32Array {
  const data = hashedUniform(name, [count, DIMENSIONS], 1).data as Float32Array;
  return data.map((value, i) => value * (1 + (i % DIMENSIONS)) + offset);
}

/** Two passes over everything. */
function plainStatistics(data: Float32Array) {
  const count = data.length / DIMENSIONS;
  const mean = new Float64Array(DIMENSIONS);
  for (let i = 0; i < data.length; i++) mean[i % DIMENSIONS] += data[i] / count;
  const covariance = new Float64Array(DIMENSIONS ** 2);
  for (let row = 0; row < count; row++) {
    for (let at = 0; at < covariance.length; at++) {
      const [i, j] = [Math.floor(at / DIMENSIONS), at % DIMENSIONS];
      const deviation = (k: number) => data[row * DIMENSIONS + k] - mean[k];
      covariance[at] += (deviation(i) * deviation(j)) / (count - 1);
    }
  }
  return { mean, covariance };
}

function assertClose(actual: Float64Array, expected: Float64Array, tolerance: number): void {
  assert.equal(actual.length, expected.length);
  for (const [i, value] of expected.entries()) {
    assert.ok(Math.abs(actual[i] - value) <= tolerance, `[${i}]: ${actual[i]}, not ${value}`);
  }
}

test('batches of any size give the statistics of all at once', () => {
  const all = features('all', 50, 1000);
  const expected = plainStatistics(all);
  for (const size of [1, 3, 4, 17, 50]) {
    const running = new RunningStatistics(DIMENSIONS);
    for (let at = 0; at < all.length; at += size * DIMENSIONS) {
      running.add(all.subarray(at, at + size * DIMENSIONS));
    }
    const { count, mean, covariance } = running.statistics();
    assert.equal(count, 50);
    assertClose(mean, expected.mean, 1e-10);
    assertClose(covariance, expected.covariance, 1e-10);
  }
});

test('all at once is the same, and waits for timers', async () => {
  const data = hashedUniform('many', [200, 512], 1).data as Float32Array;
  const running = new RunningStatistics(512);
  running.add(data);
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  const { mean, covariance } = await featureStatistics(data, 512);
  clearInterval(timer);
  assert.ok(turns > 0);
  assertClose(mean, running.statistics().mean, 1e-12);
  assertClose(covariance, running.statistics().covariance, 1e-12);
});

test('merging is adding', () => {
  const parts = [features('a', 5), features('b', 12, 3), new Float32Array(0)];
  const merged = new RunningStatistics(DIMENSIONS);
  for (const part of parts) {
    const running = new RunningStatistics(DIMENSIONS);
    running.add(part);
    merged.merge(running);
  }
  const expected = plainStatistics(Float32Array.of(...parts[0], ...parts[1]));
  const { count, mean, covariance } = merged.statistics();
  assert.equal(count, 17);
  assertClose(mean, expected.mean, 1e-12);
  assertClose(covariance, expected.covariance, 1e-12);
  assert.throws(() => merged.merge(new RunningStatistics(3)), { code: 'invalid-argument' });
});

test('one image, parts of a row and nonsense are refused', async () => {
  const one = features('a', 1);
  await assert.rejects(featureStatistics(one, DIMENSIONS), {
    code: 'invalid-argument',
    message: /covariance of 1 image/,
  });
  await assert.rejects(featureStatistics(one.subarray(1), DIMENSIONS), {
    code: 'invalid-argument',
  });
  await assert.rejects(featureStatistics(Float32Array.of(...one, ...one.with(2, Number.NaN)), 7), {
    code: 'non-finite',
    message: /Feature 2 of image 1 is NaN/,
  });
});
