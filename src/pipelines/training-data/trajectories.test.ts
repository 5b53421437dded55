import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { inFolder } from '../../../test/fuzz/in-folder.ts';
import { writeTinyModel } from '../../../test/golden/pipelines/tiny-models.ts';
import { schedulerFromConfig } from '../../schedulers/index.ts';
import { loadModel } from '../load.ts';
import { openModelParts } from '../model-parts.ts';
import { textToImage } from '../text-to-image.ts';
import { unconditional } from '../unconditional.ts';
import { openTrajectories } from './model-trajectories.ts';

const EMOJI = join(import.meta.dirname, '../../../models/emoji');
const scratch = await mkdtemp(join(tmpdir(), 'bookend-trajectories-'));
const emoji = await loadModel(EMOJI);
const emojiParts = await openModelParts(EMOJI);
after(async () => {
  await emojiParts.close();
  await emoji.dispose();
  await rm(scratch, { recursive: true, force: true });
});

const prompts = join(scratch, 'prompts.txt');
await writeFile(prompts, 'red apple\ncat face\n');
const onStale = (reason: string) => assert.fail(reason);
const SETTINGS = { prompts, count: 3, steps: 4, guidanceScale: 3, seed: 5, onStale };
const open = (cache: string, changes: object = {}) =>
  openTrajectories(emoji, emojiParts, { ...SETTINGS, cache, ...changes });
const filesOf = async (cache: string) =>
  (await readdir(join(cache, 'trajectory'), { recursive: true }).catch(() => [])).filter((name) =>
    name.endsWith('.safetensors'),
  );

test('points are what the U-Net read when the model drew the image', async () => {
  assert.ok(emoji.kind === 'stable-diffusion');
  const { model } = emoji;
  const trajectories = await open(join(scratch, 'cache'));
  const scheduler = schedulerFromConfig(model.schedulerConfig);
  const run = scheduler.plan(4);
  assert.deepEqual(trajectories.timesteps, run.timesteps);
  const after: Float32Array[] = [];
  await textToImage(model, 'cat face', {
    numInferenceSteps: 4,
    guidanceScale: 3,
    seed: 6,
    onStepEnd: ({ latents }) => after.push(latents.slice()),
  });
  // The first run takes the first prompt and the second the second.
  for (let evaluation = 1; evaluation < run.timesteps.length; evaluation++) {
    const { latents, timestep } = await trajectories.point(1, evaluation);
    assert.equal(timestep, run.timesteps[evaluation]);
    assert.deepEqual(latents, run.scaleModelInput(after[evaluation - 1], evaluation));
  }
  const { latents, embeddings } = await trajectories.point(1, 0);
  const [height, width, channels] = trajectories.latentShape;
  assert.equal(latents.length, height * width * channels);
  assert.deepEqual(embeddings?.shape, trajectories.emptyEmbeddings?.shape);
  assert.notDeepEqual(embeddings?.data, trajectories.emptyEmbeddings?.data);
});

test('interrupted preparing goes on where it was, to the same runs', async () => {
  await inFolder(async (folder) => {
    const [whole, cut] = [join(folder, 'whole'), join(folder, 'cut')];
    const expected = await open(whole);
    const told: number[] = [];
    await expected.prepare([0, 1, 2], { onProgress: (done) => told.push(done) });
    assert.deepEqual(
      told,
      Array.from({ length: told.length }, (_, i) => i + 1),
    );
    assert.equal(told.length, 3 * expected.timesteps.length);
    const controller = new AbortController();
    const stopped = (await open(cut)).prepare([0, 1, 2], {
      signal: controller.signal,
      // In the midst of the second.
      onProgress: (done) => {
        if (done === expected.timesteps.length + 2) controller.abort();
      },
    });
    await assert.rejects(stopped, { code: 'aborted' });
    assert.equal((await filesOf(cut)).length, 1);
    const resumed = await open(cut);
    const progress: [number, number][] = [];
    await resumed.prepare([2, 1, 0], { onProgress: (done, total) => progress.push([done, total]) });
    const total = 3 * resumed.timesteps.length;
    assert.deepEqual(progress[0], [resumed.timesteps.length, total], 'one file was there');
    assert.deepEqual(progress.at(-1), [total, total]);
    assert.equal(resumed.identity, expected.identity);
    assert.deepEqual((await filesOf(cut)).sort(), (await filesOf(whole)).sort());
    for (const i of [0, 1, 2])
      assert.deepEqual(await resumed.point(i, 3), await expected.point(i, 3));
  });
});

test('a damaged file is made anew, and that is said', async () => {
  await inFolder(async (cache) => {
    const point = await (await open(cache)).point(0, 2);
    const [file] = await filesOf(cache);
    await truncate(join(cache, 'trajectory', file), 500);
    const stale: string[] = [];
    const again = await open(cache, { onStale: (reason: string) => stale.push(reason) });
    assert.deepEqual(await again.point(0, 2), point);
    assert.equal(stale.length, 1);
  });
});

test('whatever changes the runs changes the identity', async () => {
  const cache = join(scratch, 'cache');
  const other = join(scratch, 'other.txt');
  await writeFile(other, 'red apple\ndog face\n');
  const changes = [
    ...[{}, { seed: 4 }, { steps: 5 }, { guidanceScale: 2 }, { count: 2 }, { prompts: other }],
    { precision: 'fp32' },
    { precision: 'bf16' },
  ];
  const identities = new Set<string>();
  for (const change of changes) identities.add((await open(cache, change)).identity);
  // One of the precisions is that of the CPU.
  assert.equal(identities.size, changes.length - 1);
});

test('numbers that are out of range are told', async () => {
  const cache = join(scratch, 'cache');
  const trajectories = await open(cache);
  const refused = { code: 'invalid-argument' };
  await assert.rejects(trajectories.point(3, 0), refused);
  await assert.rejects(trajectories.point(0, 99), refused);
  await assert.rejects(trajectories.prepare([0.5]), refused);
  for (const change of [{ count: 0 }, { steps: 0 }, { guidanceScale: -1 }, { seed: 0.5 }]) {
    await assert.rejects(open(cache, change), refused);
  }
});

test('a model that draws pixels goes without prompts', async () => {
  const folder = await writeTinyModel('ddim', join(scratch, 'ddim'));
  const model = await loadModel(folder);
  const parts = await openModelParts(folder);
  try {
    assert.ok(model.kind === 'unconditional');
    const cache = join(scratch, 'cache');
    const settings = { count: 2, steps: 3, seed: 7, cache, onStale };
    const trajectories = await openTrajectories(model, parts, settings);
    const after: Float32Array[] = [];
    await unconditional(model.model, {
      numInferenceSteps: 3,
      seed: 8,
      onStepEnd: ({ latents }) => after.push(latents.slice()),
    });
    const { latents, embeddings } = await trajectories.point(1, 2);
    assert.deepEqual(latents, after[1]);
    assert.equal(embeddings, undefined);
    assert.equal(trajectories.emptyEmbeddings, undefined);
  } finally {
    await parts.close();
    await model.dispose();
  }
});
