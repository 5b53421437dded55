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
