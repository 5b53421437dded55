import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { formatTick } from './chart-axes.ts';
import { lineChart } from './line-chart.ts';
import { type TrainingCurve, trainingCurvePage, writeTrainingCurve } from './training-curve.ts';

const scratch = mkdtempSync(join(tmpdir(), 'bookend-curve-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

function curveOf(count: number, steps: number, more: Partial<TrainingCurve> = {}): TrainingCurve {
  const records = Array.from({ length: count }, (_, i) => ({
    step: i + 1,
    loss: 2 / (i + 1),
    targetLoss: 1 / (i + 1),
    teacherLoss: 1 / (i + 1),
    gradientNorm: 0.5,
    learningRate: 1e-5,
    seconds: 2,
  }));
  return { title: 'run', steps, settings: [], clipNorm: 1, checkpoint: 0, records, ...more };
}

/** Every coordinate pair of the lines. */
function pointsOf(svg: string): number[][] {
  return [...svg.matchAll(/points="([^"]*)"/g)].flatMap(([, points]) =>
    points.split(' ').map((point) => point.split(',').map(Number)),
  );
}

test('the page says how far the run is, and draws its four curves', () => {
  const page = trainingCurvePage(
    curveOf(40, 100, { checkpoint: 30, settings: [['Batch', '4 samples']] }),
  );
  assert.match(page, /<dd>40 of 100<\/dd>/);
  assert.match(page, /<dd>step 30<\/dd>/);
  assert.match(page, /<dd>about 2m00s<\/dd>/);
  assert.match(page, /<th>Batch<\/th><td>4 samples<\/td>/);
  assert.equal(page.match(/<svg /g)?.length, 4);
  assert.match(page, />cut to 1</);
  assert.match(trainingCurvePage(curveOf(100, 100)), /<dd>complete<\/dd>/);
});

test('terms of the loss are drawn where there are two', () => {
  const { records, ...rest } = curveOf(5, 5);
  const alone = records.map(({ targetLoss, teacherLoss, ...record }) => record);
  const page = trainingCurvePage({ ...rest, records: alone });
  assert.equal(page.match(/<svg /g)?.length, 3);
});

test('nothing is loaded, no script runs, and text stays text', () => {
  const hostile = '<script>alert(1)</script>"&\'';
  const page = trainingCurvePage(curveOf(3, 3, { title: hostile, settings: [[hostile, hostile]] }));
  assert.doesNotMatch(page, /<script|<link|<img|https?:|url\(|@import/);
  assert.match(page, /&lt;script&gt;alert\(1\)&lt;\/script&gt;&quot;&amp;&#39;/);
  assert.match(page, /default-src 'none'/);
  assert.match(page, /prefers-color-scheme: dark/);
});

test('coordinates are finite and within the chart, whatever the values are', () => {
  const runs = [
    [],
    [1],
    [0, 0, 0],
    [5, 5],
    [1e-9, 1e9],
    [-3, 0, 4],
    [1e-300, 1e300],
    [-1e300, 1e300],
  ];
  for (const values of runs) {
    const xs = values.map((_, i) => i + 1);
    const series = [{ label: 'x', style: 'first', xs, values } as const];
    const svg = lineChart({ title: 'x', series, range: [1, Math.max(values.length, 1)], limit: 1 });
    assert.doesNotMatch(svg, /NaN|Infinity|undefined/, `values ${values}`);
    for (const [x, y] of pointsOf(svg)) {
      assert.ok(x >= 0 && x <= 720 && y >= 0 && y <= 220, `${values}: ${x}, ${y}`);
    }
  }
});

test('a long run is thinned without losing its extremes', () => {
  const values = Float64Array.from({ length: 100_000 }, (_, i) => Math.sin(i / 5000));
  values[31_415] = 7;
  const xs = values.map((_, i) => i + 1);
  const series = [{ label: 'x', style: 'faint', xs, values } as const];
  const svg = lineChart({ title: 'x', series, range: [1, 100_000] });
  const points = pointsOf(svg);
  assert.ok(points.length < 1300, `${points.length} points`);
  const highest = points.reduce((best, point) => (point[1] < best[1] ? point : best));
  assert.ok(Math.abs(highest[0] - (62 + (31_414 / 99_999) * 646)) < 0.2);
});

test('numbers on the axes are short', () => {
  const shown = [0, 1, 0.012_345, 2500, 1e-5, 2.5e-7, 1e9, -0.5].map(formatTick);
  assert.deepEqual(shown, ['0', '1', '0.01235', '2500', '1e-5', '2.5e-7', '1e9', '-0.5']);
});

test('a page replaces the one before it', async () => {
  const path = join(scratch, 'train.html');
  await writeTrainingCurve(path, curveOf(1, 3));
  await writeTrainingCurve(path, curveOf(3, 3));
  assert.match(readFileSync(path, 'utf8'), /3 of 3/);
  assert.deepEqual(readdirSync(scratch), ['train.html']);
});
