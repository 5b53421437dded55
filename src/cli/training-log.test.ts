import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { TrainingLog, type TrainingRecord } from './training-log.ts';

const scratch = mkdtempSync(join(tmpdir(), 'bookend-log-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

const record = (step: number): TrainingRecord => ({
  step,
  loss: 1 / step,
  targetLoss: 0.5 / step,
  teacherLoss: 0.5 / step,
  gradientNorm: 2,
  learningRate: 1e-5,
  seconds: 0.25,
});
const lines = (...steps: number[]) =>
  steps.map((step) => `${JSON.stringify(record(step))}\n`).join('');

function write(path: string, stepsDone: number, ...steps: number[]): void {
  const log = TrainingLog.open(path, stepsDone);
  for (const step of steps) log.append(record(step));
  log.close();
}

test('a log has a line for each step and begins anew for a new run', () => {
  const path = join(scratch, 'plain.jsonl');
  write(path, 0, 1, 2, 3);
  assert.equal(readFileSync(path, 'utf8'), lines(1, 2, 3));
  write(path, 0, 1);
  assert.equal(readFileSync(path, 'utf8'), lines(1));
});

test('a run that goes on cuts off what comes after its state, a torn line too', () => {
  for (const torn of ['', '{"step":6,"lo', '\0\0\0']) {
    const path = join(scratch, 'resumed.jsonl');
    writeFileSync(path, lines(1, 2, 3, 4, 5) + torn);
    const log = TrainingLog.open(path, 4);
    assert.deepEqual(log.records, [1, 2, 3, 4].map(record));
    assert.equal(readFileSync(path, 'utf8'), lines(1, 2, 3, 4));
    log.append(record(5));
    assert.equal(log.records.at(-1)?.step, 5);
    log.close();
    assert.equal(readFileSync(path, 'utf8'), lines(1, 2, 3, 4, 5));
  }
});

test('without the earlier lines it begins where the run goes on', () => {
  const path = join(scratch, 'moved.jsonl');
  write(path, 4, 5, 6);
  write(path, 5, 6, 7);
  assert.equal(readFileSync(path, 'utf8'), lines(5, 6, 7));
  write(path, 4, 5);
  assert.equal(readFileSync(path, 'utf8'), lines(5));
});

test('what no run has written is refused, and stays as it is', () => {
  const cases: readonly [content: string, says: RegExp][] = [
    [
      `${lines(1)}not JSON\n${lines(3)}`,
      /has "not JSON" in line 2 instead of the record of step 2/,
    ],
    [lines(1, 3), /line 2 instead of the record of step 2/],
    [lines(1, 1, 2), /line 2 instead of the record of step 2/],
    [lines(1, 2), /ends at step 2, and the state of training is at 3/],
    ['{"step":1}\n', /has .* in line 1 instead of the record of a step/],
    [lines(1).replace('0.25', '-1'), /line 1/],
    [lines(1).replace('"loss":1', '"loss":"<b>"'), /line 1/],
    ['\u{1f34e}'.repeat(1000), /…" in line 1/],
    [`${lines(1)}\n${lines(2, 3)}`, /has "" in line 2/],
    ['[]\n', /line 1/],
  ];
  for (const [content, says] of cases) {
    const path = join(scratch, 'damaged.jsonl');
    writeFileSync(path, content);
    assert.throws(() => TrainingLog.open(path, 3), { code: 'invalid-checkpoint', message: says });
    assert.equal(readFileSync(path, 'utf8'), content);
  }
});

test('only a regular file of its own is written', () => {
  const folder = join(scratch, 'folder.jsonl');
  mkdirSync(folder);
  const link = join(scratch, 'link.jsonl');
  const target = join(scratch, 'target');
  writeFileSync(target, 'mine');
  symlinkSync(target, link);
  for (const path of [folder, link, join(scratch, 'none', 'x.jsonl')]) {
    assert.throws(() => TrainingLog.open(path, 0), { code: 'io', message: /^Cannot write/ });
  }
  assert.equal(readFileSync(target, 'utf8'), 'mine');
});

test('numbers that JSON does not have are not written', () => {
  const log = TrainingLog.open(join(scratch, 'nan.jsonl'), 0);
  assert.throws(() => log.append({ ...record(1), loss: Number.NaN }));
  log.append(record(1));
  log.close();
  assert.equal(readFileSync(log.path, 'utf8'), lines(1));
});
