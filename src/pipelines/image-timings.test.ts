import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { writeTinyQuantizedModel } from '../../test/golden/pipelines/tiny-quantized.ts';
import { measureImageTimings } from './image-timings.ts';
import { loadModel } from './load.ts';

const scratch = mkdtempSync(join(tmpdir(), 'bookend-timings-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

test('the parts of an image are timed in turn, each in as many rounds', async () => {
  const { model, dispose } = await loadModel(await writeTinyQuantizedModel(join(scratch, 'int8')));
  const rounds: [number, number][] = [];
  const { evaluations, around } = await measureImageTimings(model, {
    ...{ prompt: '', guidanceScale: 3, rounds: 3 },
    precisions: ['fp32', 'int8'],
    surroundings: new Map([['fp32', model]]),
    onRound: (done, total) => rounds.push([done, total]),
  });
  await dispose();
  assert.deepEqual(Object.keys(evaluations), ['fp32', 'int8']);
  assert.deepEqual(Object.keys(around), ['fp32']);
  assert.ok(rounds.length >= 3);
  assert.deepEqual(rounds.at(-1), [rounds.length, rounds.length]);
  for (const seconds of [...Object.values(evaluations), ...Object.values(around)]) {
    assert.equal(seconds.length, rounds.length);
    assert.ok(seconds.every((value) => value > 0));
  }
});
