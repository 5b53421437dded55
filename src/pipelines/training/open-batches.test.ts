import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { inFolder } from '../../../test/fuzz/in-folder.ts';
import type { TrainingEvent } from '../../training/training-event.ts';
import { loadModel } from '../load.ts';
import { openModelParts } from '../model-parts.ts';
import { openBatches, type TrainingData } from './open-batches.ts';

const ROOT = join(import.meta.dirname, '../../..');
const IMAGES = join(ROOT, 'test/golden/parquet/datasets.parquet');
const RUN = {
  ...{ batchSize: 2, accumulation: 2, conditioningDropout: 0.5, seed: 3, minSnrGamma: null },
  ranges: [{ from: 0, to: 1000 }],
};

/** Opens batches of the embedded model and disposes of it. */
async function batchesOf(data: TrainingData, steps: number, onEvent?: (e: TrainingEvent) => void) {
  const folder = join(ROOT, 'models/emoji');
  const model = await loadModel(folder);
  const parts = await openModelParts(folder);
  try {
    return await openBatches(model, parts, data, { ...RUN, steps, onEvent });
  } finally {
    await parts.close();
    await model.dispose();
  }
}

test('a run has what it takes encoded, and nothing else', async () => {
  await inFolder(async (cache) => {
    const data: TrainingData = { kind: 'images', path: IMAGES, cache };
    const latents = async () =>
      (await readdir(join(cache, 'latents'), { recursive: true })).filter((n) => /\./.test(n));
    const events: TrainingEvent[] = [];
    const short = await batchesOf(data, 1, (event) => events.push(event));
    assert.deepEqual(
      events.map((event) => event.kind === 'preparing' && [event.phase, event.done, event.total]),
      [1, 2, 3, 4].map((done) => ['encoding', done, 4]),
    );
    assert.equal((await latents()).length, 4);
    const taken = [await short.next(), await short.next()];
    const { sample, embeddings, target } = taken[0];
    assert.deepEqual(sample.shape, [2, 16, 16, 4]);
    assert.deepEqual(target?.shape, sample.shape);
    assert.equal(embeddings?.shape[0], 2);
    const long = await batchesOf(data, 2);
    assert.equal((await latents()).length, 7);
    assert.deepEqual([await long.next(), await long.next()], taken);
    for (let i = 0; i < 5; i++) await long.next();
  });
});

test('a run without data has its own trajectories made, and no others', async () => {
  await inFolder(async (cache) => {
    const data: TrainingData = { kind: 'data-free', trajectories: 9, steps: 2, cache };
    const batches = await batchesOf(data, 1);
    const files = await readdir(join(cache, 'trajectory'), { recursive: true });
    assert.equal(files.filter((name) => /\./.test(name)).length, 4);
    for (let i = 0; i < 2; i++) {
      const { sample, target, timesteps } = await batches.next();
      assert.deepEqual(sample.shape, [2, 16, 16, 4]);
      assert.equal(target, undefined);
      assert.equal(timesteps.length, 2);
    }
    const clean = { ...RUN, steps: 1, ranges: [{ from: 0, to: 1 }] };
    const folder = join(ROOT, 'models/emoji');
    const [model, parts] = [await loadModel(folder), await openModelParts(folder)];
    await assert.rejects(openBatches(model, parts, data, clean), {
      code: 'invalid-argument',
      message: /None of the 2 steps/,
    });
    await parts.close();
    await model.dispose();
  });
});
