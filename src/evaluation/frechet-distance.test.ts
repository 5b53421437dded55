import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { hashedUniform } from '../models/random-weights.ts';
import { instructionSets } from '../runtime/native/cpu.ts';
import type { FeatureStatistics } from './feature-statistics.ts';
import { featureStatistics } from './feature-statistics.ts';
import { frechetDistance } from './frechet-distance.ts';

afterEach(() => {
  delete process.env.BOOKEND_ISA;
});

/** Correlated features whose variances span `decades`; fewer rows than dimensions are singular. */
function correlated(name: string, rows: number, dimensions: number, decades: number) {
  const data = hashedUniform(name, [rows, dimensions], 1).data as Float32Array;
  const mixed = data.map((value, i) => {
    const column = i % dimensions;
    const before = column === 0 ? 0 : data[i - 1];
    return (value + 0.5 * before) * 10 ** ((-decades * column) / dimensions);
  });
  return featureStatistics(mixed, dimensions);
}

function diagonal(variances: readonly number[], shift = 0): FeatureStatistics {
  const dimensions = variances.length;
  const covariance = new Float64Array(dimensions ** 2);
  for (const [i, variance] of variances.entries()) covariance[i * (dimensions + 1)] = variance;
  return { dimensions, mean: new Float64Array(dimensions).fill(shift), covariance };
}

/** Turns both axes of a covariance by a reflection, which changes no distance. */
function reflected({ mean, covariance, dimensions: n }: FeatureStatistics): FeatureStatistics {
  const v = Float64Array.from({ length: n }, (_, i) => Math.sin(i + 1));
  const norm = v.reduce((sum, x) => sum + x * x, 0);
  const turn = (get: (i: number) => number, set: (i: number, x: number) => void) => {
    let along = 0;
    for (let i = 0; i < n; i++) along += v[i] * get(i);
    for (let i = 0; i < n; i++) set(i, get(i) - (2 * along * v[i]) / norm);
  };
  const out = covariance.slice();
  for (let r = 0; r < n; r++)
    turn(
      (i) => out[r * n + i],
      (i, x) => (out[r * n + i] = x),
    );
  for (let c = 0; c < n; c++)
    turn(
      (i) => out[i * n + c],
      (i, x) => (out[i * n + c] = x),
    );
  const turned = mean.slice();
  turn(
    (i) => turned[i],
    (i, x) => (turned[i] = x),
  );
  return { dimensions: n, mean: turned, covariance: out };
}

test('independent features have the sum of (√variance - √variance)²', async () => {
  for (const n of [1, 2, 3, 31, 32, 33, 65, 130]) {
    const a = Array.from({ length: n }, (_, i) => (i % 5 === 3 ? 0 : 10 ** -(i % 17)));
    const b = Array.from({ length: n }, (_, i) => (i % 7 === 2 ? 0 : 4 * 10 ** -((i * 3) % 13)));
    const expected = a.reduce((sum, x, i) => sum + (Math.sqrt(x) - Math.sqrt(b[i])) ** 2, 0) + n;
    for (const form of [(x: FeatureStatistics) => x, reflected]) {
      const { distance } = await frechetDistance(form(diagonal(a)), form(diagonal(b, 1)));
      const off = Math.abs(distance - expected);
      assert.ok(off <= 1e-7 * expected, `${n}: ${distance}, not ${expected}`);
    }
  }
});

test('a distribution has no distance to itself, singular or not', async () => {
  for (const rows of [300, 40, 2]) {
    const a = await correlated('a', rows, 100, 6);
    const { distance, covarianceTerm } = await frechetDistance(a, a);
    assert.ok(distance >= 0 && distance < 1e-7, `${rows} rows: ${distance}`);
    assert.equal(distance, covarianceTerm);
  }
});

test('the distance is symmetric, and the same on all instruction sets and numbers of threads', async () => {
  const a = await correlated('a', 300, 150, 4);
  const b = await correlated('b', 90, 150, 3);
  const back = (await frechetDistance(b, a)).distance;
  for (const { name, missing } of instructionSets()) {
    if (missing !== null) continue;
    process.env.BOOKEND_ISA = name;
    const distances: number[] = [];
    for (const threads of [1, 2, 3]) {
      distances.push((await frechetDistance(a, b, { threads })).distance);
    }
    assert.deepEqual(distances, new Array(3).fill(distances[0]), name);
    assert.ok(Math.abs(distances[0] - back) < 1e-9 * back, `${name}: ${distances[0]}, not ${back}`);
  }
});

test('a covariance of zeros is a point', async () => {
  const point = diagonal([0, 0, 0]);
  assert.equal((await frechetDistance(point, diagonal([4, 9, 16], 2))).distance, 12 + 29);
});

test('statistics that do not fit each other are refused', async () => {
  const three = diagonal([1, 2, 3]);
  await assert.rejects(frechetDistance(three, diagonal([1])), { code: 'invalid-argument' });
  await assert.rejects(frechetDistance({ ...three, mean: new Float64Array(2) }, three), {
    code: 'invalid-argument',
    message: /3 features have 2 means/,
  });
  await assert.rejects(frechetDistance(diagonal([1, Number.NaN, 3]), three), {
    code: 'non-finite',
  });
});

test('too few images are told, on either side', async () => {
  const few = await correlated('a', 20, 30, 1);
  const many = await correlated('b', 31, 30, 1);
  const warnings = [];
  for (const [a, b] of [
    [few, many],
    [many, few],
    [many, many],
  ]) {
    warnings.push((await frechetDistance(a, b)).warning?.slice(0, 21));
  }
  assert.deepEqual(warnings, ['20 images are too few', '20 images are too few', undefined]);
});
