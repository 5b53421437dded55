import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { writeTinyModel } from '../golden/pipelines/tiny-models.ts';
import { runBookend } from './run-bookend.ts';

const scratch = mkdtempSync(join(tmpdir(), 'bookend-bench-'));
const model = await writeTinyModel('sd', join(scratch, 'sd'));
after(() => {
  rmSync(scratch, { recursive: true, force: true });
});

const training = ['bench', '--training', '--model', model, '--size', '64x64', '--rounds', '1'];

test('bench --training prints a table of both networks, and what the parts of a step take', async () => {
  const { status, stdout, stderr } = await runBookend([...training, '--threads', '1']);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^teacher +conv2d/m);
  assert.match(stdout, /^student +fakeQuantize/m);
  assert.match(stdout, /^training step: [\d.]+ s, .*floor ÷ time/m);
  assert.match(stdout, /^teacher [\d.]+ s, student [\d.]+ s, norm [\d.]+ s, update [\d.]+ s$/m);
  assert.match(stdout, /^peak memory [\d.]+ GiB$/m);
  assert.match(stderr, /step 1\/1/);
});

test('bench --training --json gives the same as an object', async () => {
  const outcome = await runBookend([...training, '--precision', 'bf16', '--json']);
  assert.equal(outcome.status, 0, outcome.stderr);
  const { precision, batch, training: step, peakMemory } = outcome.json();
  assert.deepEqual([precision, batch], ['bf16', 1]);
  const { seconds, parts, rounds } = step as Record<string, unknown>;
  assert.ok((seconds as number) > 0 && (peakMemory as number) > 0);
  assert.deepEqual(Object.keys(parts as object), ['teacher', 'student', 'norm', 'update']);
  assert.equal((rounds as unknown[]).length, 1);
});

test('bench --training computes in no integers', async () => {
  const { status, stderr } = await runBookend([...training, '--precision', 'int8']);
  assert.equal(status, 2);
  assert.match(stderr, /fp32 or bf16, and int8 was asked for/);
});

const coreUsage = ['bench', '--core-usage', '--model', model, '--size', '64x64', '--rounds', '1'];

test('bench --core-usage prints what each op, and each split of GroupNorm, makes of the cores', async () => {
  const threads = ['--threads', '2', '--simulate-threads', '1,64'];
  const { status, stdout, stderr } = await runBookend([...coreUsage, ...threads]);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^op +kernel +count +ms +share +2 threads +~1 +~64$/m);
  assert.match(stdout, /^conv2d +conv2d\.\S+ +\d+ +[\d.]+ +[\d.]+% +[\d.]+% +100\.0% +[\d.]+%$/m);
  assert.match(stdout, /^speed-up +[\d.]+× +1\.0× +[\d.]+×$/m);
  assert.match(stdout, /^shape +count +split by +tasks +1 thread +2 threads +~1 +~64$/m);
  assert.match(stdout, /^all of a step +\d+ +rows +\d+ .*\n +channels +\d+ .*\n +groups +\d+ /m);
  assert.match(stdout, /^groups +8 +100\.0% +12\.5%$/m);
  assert.match(stdout, /^Simulated: .*Not modelled: /m);
  assert.match(stderr, /simulated 64 threads/);
});

test('bench --core-usage --json gives the same as an object', async () => {
  const outcome = await runBookend([...coreUsage, '--simulate-threads', '4', '--json']);
  assert.equal(outcome.status, 0, outcome.stderr);
  const { step, norms } = outcome.json() as {
    step: { simulated: { threads: number; seconds: number; busySeconds: number }[]; tasks: number };
    norms: { norms: { splits: object }[] };
  };
  const [{ threads, seconds, busySeconds }] = step.simulated;
  assert.equal(threads, 4);
  assert.ok(seconds > 0 && busySeconds >= seconds && busySeconds <= 4 * seconds);
  assert.ok(step.tasks > 0);
  assert.deepEqual(Object.keys(norms.norms[0].splits), ['rows', 'channels', 'groups']);
});

test('bench --core-usage refuses what it cannot do', async () => {
  const both = await runBookend([...coreUsage, '--training']);
  assert.equal(both.status, 2);
  assert.match(both.stderr, /pass one of the two/);
  const list = await runBookend([...coreUsage, '--simulate-threads', '2,0']);
  assert.equal(list.status, 2);
  assert.match(list.stderr, /whole numbers from 1 to 256/);
});
