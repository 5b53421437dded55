import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { writeTinyModel } from '../../test/golden/pipelines/tiny-models.ts';
import { DEFAULT_QUANTIZATION, type QuantizationConfig } from '../quantization/config.ts';
import { describeQuantization } from './describe-quantization.ts';
import { loadModel } from './load.ts';
import { openModelParts } from './model-parts.ts';
import { type PostTrainingOptions, quantizePostTraining } from './post-training-quantization.ts';
import { textToImage } from './text-to-image.ts';
import { unconditional } from './unconditional.ts';

const scratch = mkdtempSync(join(tmpdir(), 'bookend-ptq-'));
const model = await writeTinyModel('sd', join(scratch, 'sd'));
after(() => rmSync(scratch, { recursive: true, force: true }));

const config: QuantizationConfig = { ...DEFAULT_QUANTIZATION, buckets: 2 };
const QUICK: PostTrainingOptions = {
  config,
  samples: 3,
  steps: 4,
  guidanceScale: 3,
  sensitivityPrompts: 0,
};

const out = (name: string) => join(scratch, name);
const made = (folder: string) =>
  ['quantization.json', 'quantized.safetensors'].map((name) =>
    readFileSync(join(folder, 'unet', name)),
  );

test('a quantized model is a whole model whose original files are shared', async () => {
  const folder = out('whole');
  const report = await quantizePostTraining(model, folder, QUICK);
  assert.equal(report.model.reports.length, report.model.buckets[0].layers.size);
  assert.ok(report.model.reports.every((layer) => layer.weightSqnr! > 25 && layer.inputSqnr! > 15));
  assert.ok(report.bytes.after < report.bytes.before);
  for (const file of ['model_index.json', 'unet/diffusion_pytorch_model.safetensors']) {
    assert.equal(statSync(join(folder, file)).ino, statSync(join(model, file)).ino);
  }
  assert.ok(!readdirSync(folder).includes('calibration.safetensors'));
  const loaded = await loadModel(folder, { precision: 'int8' });
  assert.equal(loaded.kind, 'stable-diffusion');
  if (loaded.kind !== 'stable-diffusion') return;
  const request = { numInferenceSteps: 3, guidanceScale: 3, seed: 5, width: 32, height: 32 };
  const { images, schedule } = await textToImage(loaded.model, 'an apple', request);
  assert.deepEqual(new Set(schedule), new Set(['int8']));
  assert.ok(new Set(images[0].data).size > 16, 'the image is flat');
  await loaded.dispose();
});

test('the same inputs give the same bytes, also after an interruption', async () => {
  const whole = out('at-once');
  await quantizePostTraining(model, whole, QUICK);
  const interrupted = out('interrupted');
  const controller = new AbortController();
  const stopped = quantizePostTraining(model, interrupted, {
    ...QUICK,
    signal: controller.signal,
    // In the midst of the second sample.
    onProgress: ({ done }) => {
      if (done === 7) controller.abort();
    },
  });
  await assert.rejects(stopped, { code: 'aborted' });
  await assert.rejects(loadModel(interrupted), { code: 'not-found' });
  const { resumedSamples } = await quantizePostTraining(model, interrupted, QUICK);
  assert.equal(resumedSamples, 1);
  assert.deepEqual(made(interrupted), made(whole));
  assert.deepEqual(readdirSync(interrupted).sort(), readdirSync(whole).sort());
});

test('what was calibrated under other settings is not gone on with', async () => {
  const folder = out('changed');
  const controller = new AbortController();
  const stopped = quantizePostTraining(model, folder, {
    ...QUICK,
    seed: 9,
    signal: controller.signal,
    onProgress: ({ done }) => done === 7 && controller.abort(),
  });
  await assert.rejects(stopped, { code: 'aborted' });
  const { resumedSamples } = await quantizePostTraining(model, folder, QUICK);
  assert.equal(resumedSamples, 0);
});

test('unconditional models are quantized as well', async () => {
  const ddpm = await writeTinyModel('ddpm', out('ddpm'));
  const folder = out('ddpm-int8');
  await quantizePostTraining(ddpm, folder, { ...QUICK, samples: 1, sensitivityPrompts: 2 });
  const loaded = await loadModel(folder, { precision: 'int8' });
  if (loaded.kind !== 'unconditional') return assert.fail(loaded.kind);
  const { schedule } = await unconditional(loaded.model, { seed: 1, numInferenceSteps: 2 });
  assert.deepEqual(schedule, ['int8', 'int8']);
  await loaded.dispose();
});

test('weights alone can be quantized, in groups, and are computed with in floating point', async () => {
  const weights = {
    dtype: 's8',
    granularity: 'per-group',
    groupSize: 4,
    scheme: 'affine',
  } as const;
  const weightOnly = { ...config, weights, activations: null };
  const folder = out('weight-only');
  await quantizePostTraining(model, folder, {
    ...QUICK,
    config: weightOnly,
    sensitivityPrompts: 2,
  });
  await assert.rejects(loadModel(folder, { precision: 'int8' }), { code: 'invalid-argument' });
  const draw = async (path: string) => {
    const loaded = await loadModel(path, { precision: 'fp32' });
    if (loaded.kind !== 'stable-diffusion') return assert.fail(loaded.kind);
    const request = { numInferenceSteps: 3, guidanceScale: 3, seed: 5, width: 32, height: 32 };
    const { images } = await textToImage(loaded.model, 'an apple', request);
    await loaded.dispose();
    return images[0].data;
  };
  const [exact, rounded] = [await draw(model), await draw(folder)];
  assert.notDeepEqual(rounded, exact);
  const squares = exact.reduce((sum, value, i) => sum + (value - rounded[i]) ** 2, 0);
  assert.ok(squares / exact.length < 25, 'the image has little to do with the original');
  const parts = await openModelParts(folder);
  const description = await describeQuantization(parts);
  assert.ok(description?.layers.some(({ precision }) => precision === 'weights'));
  await parts.close();
});

test('a folder that holds something else, or the model itself, is refused', async () => {
  const folder = out('occupied');
  await quantizePostTraining(model, folder, { ...QUICK, samples: 1 });
  const other = await writeTinyModel('ddim', out('other'));
  for (const occupied of [other, model]) {
    const before = readdirSync(occupied);
    await assert.rejects(quantizePostTraining(model, occupied, QUICK), {
      code: 'invalid-argument',
    });
    assert.deepEqual(readdirSync(occupied), before);
  }
  await assert.rejects(quantizePostTraining(model, join(model, 'unet', 'int8'), QUICK), {
    code: 'invalid-argument',
    message: /part of the original model/,
  });
  assert.ok(!readdirSync(join(model, 'unet')).includes('int8'));
  // A quantized model is made anew.
  await quantizePostTraining(model, folder, { ...QUICK, samples: 1 });
});

test('too few steps for the buckets, and a file without a prompt, are told', async () => {
  const many = { ...QUICK, config: { ...config, buckets: 20 }, samples: 1 };
  await assert.rejects(quantizePostTraining(model, out('many'), many), {
    code: 'invalid-argument',
    message: /No calibration step fell into the timesteps/,
  });
  const prompts = join(scratch, 'empty.txt');
  writeFileSync(prompts, '\n \n');
  await assert.rejects(quantizePostTraining(model, out('none'), { ...QUICK, prompts }), {
    code: 'invalid-argument',
    message: /holds no prompt/,
  });
});
