import assert from 'node:assert/strict';
import { test } from 'node:test';
import { f32, floats, type Tensor } from '../core/tensor.ts';
import { type Scheduler, schedulerFromConfig } from '../schedulers/index.ts';
import { type BatchSource, sampleBatches, trajectoryBatches } from './batches.ts';
import type { TrainingSamples } from './dataset/training-samples.ts';
import type { Trajectories } from './dataset/trajectories.ts';
import type { TimestepRange } from './timestep-sampling.ts';

const TOKENS = [2, 3] as const;
const EMPTY = f32(TOKENS, Array(6).fill(-1));
const SHAPE = [2, 2, 1] as const;
const textOf = (index: number): Tensor => f32(TOKENS, Array(6).fill(index));

/** Sample i is full of i + 1, and its text of i. */
const samples: TrainingSamples = {
  count: 3,
  identity: 'samples',
  latentShape: SHAPE,
  emptyEmbeddings: EMPTY,
  async sample(index, random) {
    random.uniform();
    return { latents: new Float32Array(4).fill(index + 1), embeddings: textOf(index) };
  },
  prepare: async () => {},
  close: async () => {},
};

/** Run i at evaluation e is full of 10 i + e. */
const trajectories: Trajectories = {
  count: 2,
  identity: 'runs',
  latentShape: SHAPE,
  timesteps: [900.5, 500, 100],
  emptyEmbeddings: EMPTY,
  async point(run, evaluation) {
    const latents = new Float32Array(4).fill(10 * run + evaluation);
    const timestep = trajectories.timesteps[evaluation];
    return { latents, timestep, embeddings: textOf(run) };
  },
  prepare: async () => {},
};

const scheduler = (prediction = 'epsilon'): Scheduler =>
  schedulerFromConfig({ _class_name: 'DDIMScheduler', prediction_type: prediction });
const OPTIONS = { batchSize: 2, conditioningDropout: 0, seed: 3, minSnrGamma: null };
const RANGES: readonly TimestepRange[] = [{ from: 100, to: 110 }];
const batchesOf = (options: Partial<typeof OPTIONS> = {}, prediction?: string) =>
  sampleBatches(samples, scheduler(prediction), RANGES, { ...OPTIONS, ...options });

async function take(source: BatchSource, count: number) {
  const batches = [];
  for (let i = 0; i < count; i++) batches.push(await source.next());
  return batches;
}

test('an epoch takes every sample once, at timesteps of the ranges', async () => {
  const batches = await take(batchesOf({ batchSize: 1 }), 6);
  const texts = batches.map(({ embeddings }) => embeddings!.data[0]);
  assert.deepEqual(texts.slice(0, 3).sort(), [0, 1, 2]);
  assert.deepEqual(texts.slice(3).sort(), [0, 1, 2]);
  const timesteps = batches.flatMap((batch) => batch.timesteps);
  assert.ok(timesteps.every((t) => Number.isInteger(t) && t >= 100 && t < 110));
  assert.ok(new Set(timesteps).size > 2);
});

for (const prediction of ['epsilon', 'v_prediction', 'sample']) {
  test(`${prediction}: sample and target follow from latents and noise`, async () => {
    const source = batchesOf({}, prediction);
    const { alphasCumprod } = scheduler().noiseSchedule;
    const { sample, target, timesteps, embeddings } = await source.next();
    assert.deepEqual(sample.shape, [2, ...SHAPE]);
    assert.deepEqual(embeddings?.shape, [2, ...TOKENS]);
    for (const [i, t] of timesteps.entries()) {
      const latent = embeddings!.data[6 * i] + 1;
      const [alpha, sigma] = [Math.sqrt(alphasCumprod[t]), Math.sqrt(1 - alphasCumprod[t])];
      for (let at = 4 * i; at < 4 * i + 4; at++) {
        const noise = (sample.data[at] - alpha * latent) / sigma;
        const expected = {
          epsilon: noise,
          v_prediction: alpha * noise - sigma * latent,
          sample: latent,
        }[prediction]!;
        assert.ok(Math.abs(target!.data[at] - expected) < 1e-4, `${target!.data[at]} ${expected}`);
      }
    }
  });
}

test('texts are left out as often as asked', async () => {
  const all = await take(batchesOf({ conditioningDropout: 1 }), 2);
  assert.ok(all.every(({ embeddings }) => floats(embeddings!).every((x) => x === -1)));
  const batches = await take(batchesOf({ conditioningDropout: 0.5 }), 50);
  const dropped = batches.flatMap(({ embeddings }) =>
    [0, 6].filter((at) => embeddings!.data[at] === -1),
  );
  assert.ok(dropped.length > 30 && dropped.length < 70, `${dropped.length} of 100`);
});

test('min-SNR weights are those of the timesteps', async () => {
  const gamma = 5;
  const source = sampleBatches(samples, scheduler(), RANGES, { ...OPTIONS, minSnrGamma: gamma });
  const { weights, timesteps } = await source.next();
  for (const [i, t] of timesteps.entries()) {
    const alpha = scheduler().noiseSchedule.alphasCumprod[t];
    const expected = Math.min(1, gamma / (alpha / (1 - alpha)));
    assert.ok(Math.abs(weights!.data[i] - expected) < 1e-6);
  }
  assert.equal((await batchesOf().next()).weights, undefined);
});

test('taken up again, batches go on as they would have', async () => {
  const options = { conditioningDropout: 0.3 };
  const whole = await take(batchesOf(options), 7);
  const first = batchesOf(options);
  await take(first, 3);
  const second = batchesOf(options);
  second.restore(structuredClone(first.progress()));
  assert.deepEqual(await take(second, 4), whole.slice(3));
  assert.throws(() => second.restore({ randoms: [] }), { code: 'invalid-checkpoint' });
});

test('what batches depend on makes their identity another', () => {
  const identities = [
    batchesOf(),
    batchesOf({ batchSize: 3 }),
    batchesOf({}, 'v_prediction'),
    sampleBatches(samples, scheduler(), [{ from: 0, to: 9 }], OPTIONS),
    trajectoryBatches(trajectories, [0], OPTIONS),
    trajectoryBatches(trajectories, [1], OPTIONS),
  ].map(({ identity }) => identity);
  assert.equal(new Set(identities).size, identities.length);
});

test('without data, batches are the chosen evaluations of runs', async () => {
  const batches = await take(trajectoryBatches(trajectories, [0, 2], OPTIONS), 20);
  const seen = new Set<string>();
  for (const { timesteps, sample, embeddings, target } of batches) {
    assert.equal(target, undefined);
    for (const [i, t] of timesteps.entries()) {
      const [run, value] = [embeddings!.data[6 * i], sample.data[4 * i]];
      assert.equal(value, 10 * run + trajectories.timesteps.indexOf(t));
      seen.add(`${run} ${t}`);
    }
  }
  assert.deepEqual([...seen].sort(), ['0 100', '0 900.5', '1 100', '1 900.5']);
});

test('captions of another length than the empty text are told', async () => {
  const long = {
    ...samples,
    sample: async () => ({
      latents: new Float32Array(4),
      embeddings: f32([4, 3], Array(12).fill(0)),
    }),
  };
  const source = sampleBatches(long, scheduler(), RANGES, OPTIONS);
  await assert.rejects(source.next(), { code: 'invalid-argument', message: /shorten captions/ });
});
