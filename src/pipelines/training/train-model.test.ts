import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { writeTinyModel } from '../../../test/golden/pipelines/tiny-models.ts';
import { writeTrainingImages } from '../../../test/support/training-images.ts';
import type { StepEvent, TrainingEvent } from '../../training/training-event.ts';
import { loadModel } from '../load.ts';
import { unconditional } from '../unconditional.ts';
import { type TrainModelOptions, trainModel } from './train-model.ts';

const scratch = mkdtempSync(join(tmpdir(), 'bookend-train-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const out = (name: string) => join(scratch, name);
const model = await writeTinyModel('sd', out('sd'));
const images = await writeTrainingImages(out('images'));

const QUICK: TrainModelOptions = {
  training: { steps: 6, batchSize: 2, learningRate: 1e-3, checkpointEvery: 4 },
  data: { kind: 'images', path: images, cache: out('cache') },
};
const WEIGHTS = join('unet', 'diffusion_pytorch_model.safetensors');

async function run(name: string, options: Partial<TrainModelOptions> = {}, from = model) {
  const steps: StepEvent[] = [];
  const report = await trainModel(from, out(name), {
    ...QUICK,
    ...options,
    onEvent: (event) => {
      if (event.kind === 'step') steps.push(event);
      options.onEvent?.(event);
    },
  });
  return { report, steps };
}

test('fine-tuning changes the U-Net and nothing else; stopped, it goes on', async () => {
  const whole = await run('whole');
  const bytes = readFileSync(join(out('whole'), WEIGHTS));
  assert.notDeepEqual(bytes, readFileSync(join(model, WEIGHTS)));
  for (const file of ['vae/diffusion_pytorch_model.safetensors', 'model_index.json']) {
    assert.equal(statSync(join(out('whole'), file)).ino, statSync(join(model, file)).ino);
  }
  const controller = new AbortController();
  const onEvent = (event: TrainingEvent) => {
    if (event.kind === 'step' && event.step === 2) controller.abort();
  };
  await assert.rejects(run('stopped', { onEvent, signal: controller.signal }), { code: 'aborted' });
  await assert.rejects(loadModel(out('stopped')), { code: 'not-found' });
  const { steps } = await run('stopped', { resume: true });
  assert.deepEqual(
    steps.map(({ loss }) => loss),
    whole.steps.slice(2).map(({ loss }) => loss),
  );
  assert.deepEqual(readFileSync(join(out('stopped'), WEIGHTS)), bytes);
  await assert.rejects(run('whole'), { code: 'invalid-argument', message: /holds something else/ });
});

for (const precision of ['fp32', 'bf16'] as const) {
  test(`from scratch in ${precision}, a U-Net of pixels learns its images`, async () => {
    const ddim = await writeTinyModel('ddim', out(`ddim-${precision}`));
    // It has no parameters to begin with.
    rmSync(join(ddim, WEIGHTS));
    const training = {
      ...QUICK.training,
      steps: 40,
      learningRate: 3e-3,
      emaDecay: null,
      precision,
    };
    const name = `scratch-${precision}`;
    const { steps } = await run(name, { fromScratch: true, training }, ddim);
    const mean = (part: readonly StepEvent[]) =>
      part.reduce((sum, { loss }) => sum + loss, 0) / part.length;
    assert.ok(
      mean(steps.slice(-10)) < 0.8 * mean(steps.slice(0, 10)),
      `${steps.map((s) => s.loss)}`,
    );
    const loaded = await loadModel(out(name));
    assert.ok(loaded.kind === 'unconditional');
    const { images: drawn } = await unconditional(loaded.model, { numInferenceSteps: 2, seed: 1 });
    assert.ok(new Set(drawn[0].data).size > 16);
    await loaded.dispose();
  });
}

test('other settings than those it began with do not go on', async () => {
  const controller = new AbortController();
  const onEvent = ({ kind }: TrainingEvent) => kind === 'step' && controller.abort();
  await assert.rejects(run('other', { onEvent, signal: controller.signal }), { code: 'aborted' });
  const training = { ...QUICK.training, learningRate: 2e-3 };
  await assert.rejects(run('other', { training, resume: true }), {
    code: 'invalid-argument',
    message: /another model, data or options/,
  });
});
