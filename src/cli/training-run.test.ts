import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { after, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { BookendError } from '../core/errors.ts';
import type { TrainingEvent } from '../training/training-event.ts';
import { trainingOptions } from '../training/training-options.ts';
import { isFinished, runTraining } from './training-run.ts';

const scratch = mkdtempSync(join(tmpdir(), 'bookend-training-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

const STEPS = 6;

function settingsIn(name: string) {
  const out = join(scratch, name);
  mkdirSync(out, { recursive: true });
  const training = trainingOptions({ steps: STEPS, batchSize: 1, learningRate: 1e-5 });
  const resumeCommand = 'bookend train x --resume';
  return { out, training, settings: [['Batch', '1']] as const, resumeCommand };
}

const stepEvent = (step: number): TrainingEvent => ({
  kind: 'step',
  step,
  steps: STEPS,
  loss: 1 / step,
  gradientNorm: 1,
  learningRate: 1e-5,
  seconds: 0.1,
});
const checkpoint = (step: number): TrainingEvent => ({
  kind: 'checkpoint',
  step,
  path: 'state',
  seconds: 0,
});
const stepsIn = (out: string) =>
  readFileSync(join(out, 'train.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line).step);

test('a run leaves a line for each step and a page of all of them', async () => {
  const settings = settingsIn('whole');
  const report = await runTraining(settings, async ({ onEvent }) => {
    onEvent({ kind: 'preparing', phase: 'encoding', done: 1, total: 1, seconds: 1 });
    for (let step = 1; step <= STEPS; step++) onEvent(stepEvent(step));
    onEvent(checkpoint(STEPS));
    return 'report';
  });
  assert.equal(report, 'report');
  assert.deepEqual(stepsIn(settings.out), [1, 2, 3, 4, 5, 6]);
  assert.match(readFileSync(join(settings.out, 'train.html'), 'utf8'), /6 of 6/);
});

test('a failure leaves what was done, and a resumed run takes its steps again', async () => {
  const settings = settingsIn('failed');
  const failure = new BookendError('non-finite', 'The loss of step 5 is NaN.');
  const failing = runTraining(settings, async ({ onEvent }) => {
    for (let step = 1; step <= 2; step++) onEvent(stepEvent(step));
    onEvent(checkpoint(2));
    for (let step = 3; step <= 4; step++) onEvent(stepEvent(step));
    throw failure;
  });
  await assert.rejects(failing, failure);
  assert.deepEqual(stepsIn(settings.out), [1, 2, 3, 4]);
  assert.match(readFileSync(join(settings.out, 'train.html'), 'utf8'), /4 of 6.*step 2/s);
  await runTraining(settings, async ({ onEvent }) => {
    onEvent({ kind: 'resumed', step: 2 });
    assert.deepEqual(stepsIn(settings.out), [1, 2]);
    onEvent(stepEvent(3));
  });
  assert.deepEqual(stepsIn(settings.out), [1, 2, 3]);
});

test('the first Ctrl-C asks to stop, and the error says how to go on', async () => {
  const settings = settingsIn('interrupted');
  const run = runTraining(settings, async ({ onEvent, signal }) => {
    onEvent(stepEvent(1));
    process.emit('SIGINT');
    assert.ok(signal.aborted);
    onEvent(checkpoint(1));
    throw new BookendError('aborted', 'Stopped.');
  });
  await assert.rejects(run, {
    code: 'aborted',
    message:
      'Stopped after step 1 of 6, with its state stored; go on with `bookend train x --resume`.',
  });
  assert.equal(process.listenerCount('SIGINT'), 0);
});

test('a log or a page that cannot be written ends the run', async () => {
  const log = settingsIn('log');
  mkdirSync(join(log.out, 'train.jsonl'));
  const failing = runTraining(log, async ({ onEvent }) => onEvent(stepEvent(1)));
  await assert.rejects(failing, { code: 'io', message: /train\.jsonl/ });
  const page = settingsIn('page');
  mkdirSync(join(page.out, 'train.html'));
  let steps = 0;
  const paged = runTraining(page, async ({ onEvent }) => {
    for (let step = 1; step <= STEPS; step++) {
      onEvent(stepEvent(step));
      onEvent(checkpoint(step));
      steps++;
      await wait(50);
    }
  });
  await assert.rejects(paged, { code: 'io', message: /train\.html/ });
  assert.ok(steps < STEPS);
  const damaged = settingsIn('damaged');
  writeFileSync(join(damaged.out, 'train.jsonl'), 'no\n');
  const resumed = runTraining(damaged, async ({ onEvent }) =>
    onEvent({ kind: 'resumed', step: 2 }),
  );
  await assert.rejects(resumed, { code: 'invalid-checkpoint', message: /move it away/ });
});

test('a finished model is not gone on with', () => {
  const { out } = settingsIn('finished');
  const resume = { resume: true };
  assert.equal(isFinished(out, resume), false);
  writeFileSync(join(out, 'model_index.json'), '{}');
  assert.equal(isFinished(out, resume), true);
  assert.equal(isFinished(out, {}), false);
  writeFileSync(join(out, 'training.safetensors'), '');
  assert.equal(isFinished(out, resume), false);
});
