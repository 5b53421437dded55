import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createProgress, formatDuration, formatProgress } from './progress.ts';

test('durations read naturally at every scale', () => {
  assert.equal(formatDuration(3.21), '3.2s');
  assert.equal(formatDuration(245), '4m05s');
  assert.equal(formatDuration(7800), '2h10m');
  assert.equal(formatDuration(3599.7), '1h00m');
});

test('a progress line holds count, step time and estimate', () => {
  const line = formatProgress('Denoising', 5, 20, 1.5, 'step');
  assert.match(line, /^Denoising █+░+ 5\/20 {2}1\.50 s\/step {2}ETA 22\.5s$/);
});

test('a pipe gets the first, the last and few lines between', () => {
  const lines: string[] = [];
  const progress = createProgress('Denoising', 40, 'step', { write: (text) => lines.push(text) });
  for (let step = 1; step <= 40; step++) progress.update(step, 1);
  progress.finish();
  assert.equal(lines.length, 9);
  assert.ok(lines.every((line) => line.endsWith('\n') && !line.includes('\r')));
  assert.match(lines.at(-1) ?? '', /40\/40/);
});

test('a terminal gets one line redrawn in place', () => {
  const writes: string[] = [];
  const progress = createProgress('Denoising', 2, 'step', {
    isTTY: true,
    write: (text) => writes.push(text),
  });
  progress.update(1, 0.5);
  progress.update(2, 0.5);
  progress.finish();
  assert.deepEqual(
    writes.map((text) => text.startsWith('\r')),
    [true, true, false],
  );
});
