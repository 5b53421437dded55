import assert from 'node:assert/strict';
import { test } from 'node:test';
import { barChart } from './bar-chart.ts';
import { type ScatterPoint, scatterChart } from './scatter-chart.ts';

const point = (x: number, y: number, more: Partial<ScatterPoint> = {}): ScatterPoint => ({
  ...{ x, y, label: `at ${x}`, series: 0, optimal: false, marked: false, ...more },
});
const chart = (points: readonly ScatterPoint[]) =>
  scatterChart({ title: 'a < b', xTitle: 'seconds', points, colours: 2 });

/** Centers of the dots, in the order of the points. */
function dots(svg: string): { x: number; y: number }[] {
  const found = svg.matchAll(/<circle class="series-\d[^"]*" cx="([^"]+)" cy="([^"]+)"/g);
  return [...found].map(([, x, y]) => ({ x: Number(x), y: Number(y) }));
}

test('points lie in the order of their values, infinite ones above all', () => {
  const points = [point(1, 30), point(2, 50, { optimal: true }), point(4, Infinity), point(3, 40)];
  const svg = chart(points);
  const [first, second, third, fourth] = dots(svg);
  assert.ok(first.x < second.x && second.x < fourth.x && fourth.x < third.x);
  assert.ok(first.y > fourth.y && fourth.y > second.y && second.y > third.y);
  assert.match(svg, />equal</);
  assert.doesNotMatch(svg, /NaN|Infinity|a < b/);
  assert.equal(svg.match(/hollow/g)?.length, 3);
});

test('coordinates are finite and within the chart, whatever the values are', () => {
  const cases = [
    [point(1, Infinity)],
    [point(0, 0)],
    [point(1e-6, -5), point(1e3, 5)],
    [point(2, 30, { xInterval: [1, 9], yInterval: [10, 90] })],
    [],
  ];
  for (const points of cases) {
    const svg = chart(points);
    assert.doesNotMatch(svg, /NaN|Infinity/);
    for (const [, x] of svg.matchAll(/ (?:cx|x1|x2)="([^"]+)"/g)) {
      assert.ok(Number(x) >= 0 && Number(x) <= 720, x);
    }
    for (const [, y] of svg.matchAll(/ (?:cy|y1|y2)="([^"]+)"/g)) {
      assert.ok(Number(y) >= 0 && Number(y) <= 380, y);
    }
  }
});

test('names that would cover one another are left to the tooltip, those of the front last', () => {
  const crowd = Array.from({ length: 30 }, (_, i) => point(1 + i / 1000, 30 + i / 1000));
  const svg = chart([...crowd, point(9, 90), point(1.5, 31, { label: 'best', optimal: true })]);
  const names = [...svg.matchAll(/<text class="name"[^>]*>([^<]*)</g)].map(([, name]) => name);
  assert.equal(names[0], 'best');
  assert.ok(names.includes('at 9') && names.length < 20);
  assert.equal(svg.match(/<title>at /g)?.length, 31);
});

test('the longest bar is that of the largest value', () => {
  const bars = [
    { label: 'a', value: 0, text: '0%' },
    { label: '<b>', value: 2, text: '66%' },
    { label: 'c', value: 1, text: '33%' },
  ];
  const svg = barChart('shares', bars);
  const [none, most, half] = [...svg.matchAll(/<rect[^>]* width="([^"]+)"/g)].map(([, width]) =>
    Number(width),
  );
  assert.ok(none > 0 && none < 1);
  assert.ok(Math.abs(most - 2 * half) < 0.2 && most < 720);
  assert.ok(svg.includes('&lt;b&gt;'));
});
