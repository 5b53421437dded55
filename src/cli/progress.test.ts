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

test('a narrow terminal gets a narrower bar, and no line that wraps', () => {
  for (const columns of [200, 90, 60, 20]) {
    const writes: string[] = [];
    const stream = { isTTY: true, columns, write: (text: string) => writes.push(text) };
    createProgress('Training', 300, 'step', stream).update(120, 0.5, 'loss 0.01234');
    const [line] = writes.map((text) => text.replace('\r\x1b[2K', ''));
    assert.ok(line.length < columns, `${line.length} in ${columns}`);
    const bar = line.replaceAll(/[^█░]/g, '').length;
    assert.equal(bar, { 200: 30, 90: 30, 60: 4, 20: 0 }[columns]);
    assert.equal(line.endsWith('loss 0.01234'), columns >= 60);
  }
});

test('the time of each leaves out what an earlier run did', () => {
  const lines: string[] = [];
  const progress = createProgress('Training', 300, 'step', { write: (text) => lines.push(text) });
  for (let step = 101; step <= 110; step++) progress.update(step, 2);
  assert.match(lines.at(-1) ?? '', /2\.00 s\/step {2}ETA 6m2\ds/);
});
