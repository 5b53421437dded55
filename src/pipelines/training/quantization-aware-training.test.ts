import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { writeTinyModel } from '../../../test/golden/pipelines/tiny-models.ts';
import { writeTrainingImages } from '../../../test/support/training-images.ts';
import { DEFAULT_QUANTIZATION } from '../../quantization/config.ts';
import type { StepEvent, TrainingEvent } from '../../training/training-event.ts';
import type { TrainingRequest } from '../../training/training-options.ts';
import { loadModel } from '../load.ts';
import { quantizePostTraining } from '../post-training-quantization.ts';
import {
  type QuantizationAwareOptions,
  quantizeWithTraining,
} from './quantization-aware-training.ts';

const scratch = mkdtempSync(join(tmpdir(), 'bookend-qat-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const model = await writeTinyModel('sd', join(scratch, 'sd'));
const images = await writeTrainingImages(join(scratch, 'images'));
const out = (name: string) => join(scratch, name);
const cache = out('cache');

const TRAINING: TrainingRequest = { steps: 6, batchSize: 2, learningRate: 1e-4, emaDecay: null };
const DATA_FREE = { kind: 'data-free', trajectories: 2, steps: 6, cache } as const;
const QUICK: QuantizationAwareOptions = {
  config: { ...DEFAULT_QUANTIZATION, buckets: 2 },
  samples: 2,
  steps: 4,
  guidanceScale: 3,
  sensitivityPrompts: 0,
  use: { precision: 'mixed', highPrecisionSteps: 1 },
  inferenceSteps: 6,
  training: TRAINING,
  data: { ...DATA_FREE, guidanceScale: 3 },
};

const made = (folder: string) =>
  ['quantization.json', 'quantized.safetensors'].map((name) =>
    readFileSync(join(folder, 'unet', name)),
  );

async function run(name: string, options: Partial<QuantizationAwareOptions> = {}, from = model) {
  const steps: StepEvent[] = [];
  const report = await quantizeWithTraining(from, out(name), {
    ...QUICK,
    ...options,
    onEvent: (event) => {
      if (event.kind === 'step') steps.push(event);
      options.onEvent?.(event);
    },
  });
  return { report, steps };
}

const mean = (steps: readonly StepEvent[]) =>
  steps.reduce((sum, { loss }) => sum + loss, 0) / steps.length;

test('without data, the quantized U-Net comes closer to the original one', async () => {
  const training = { ...TRAINING, steps: 30, learningRate: 3e-4 };
  const { report, steps } = await run('free', { training });
  const { model: trained } = report;
  assert.equal(trained.origin.method, 'qat');
  assert.equal(trained.origin.training?.steps, 30);
  assert.equal(trained.origin.training?.distillation, null);
  assert.ok(mean(steps.slice(-8)) < 0.8 * mean(steps.slice(0, 8)), `${steps.map((s) => s.loss)}`);
  assert.ok(steps.every(({ targetLoss }) => targetLoss === undefined));
  assert.deepEqual(
    readdirSync(out('free')).filter((file) => /training|calibration/.test(file)),
    [],
  );
  const loaded = await loadModel(out('free'), { precision: 'int8' });
  await loaded.dispose();
});

for (const kind of ['held', 'moving', 'learned'] as const) {
  test(`with images and ${kind} scales, it learns from both; stopped, it goes on`, async () => {
    const options: Partial<QuantizationAwareOptions> = {
      data: { kind: 'images', path: images, cache },
      scales: { kind },
      training: { ...TRAINING, emaDecay: 0.9, minSnrGamma: 5, accumulation: 2, checkpointEvery: 4 },
    };
    const whole = await run(`whole-${kind}`, options);
    for (const { loss, targetLoss, teacherLoss } of whole.steps) {
      assert.ok(Math.abs(loss - targetLoss! - teacherLoss!) < 1e-5 * loss);
    }
    const controller = new AbortController();
    const onEvent = (event: TrainingEvent) => {
      if (event.kind === 'step' && event.step === 3) controller.abort();
    };
    const name = `stopped-${kind}`;
    await assert.rejects(run(name, { ...options, onEvent, signal: controller.signal }), {
      code: 'aborted',
      message: /after 3 steps/,
    });
    await assert.rejects(loadModel(out(name)), { code: 'not-found' });
    await assert.rejects(run(name, options), { code: 'invalid-argument', message: /--resume/ });
    const { steps } = await run(name, { ...options, resume: true });
    assert.deepEqual(
      steps.map(({ loss }) => loss),
      whole.steps.slice(3).map(({ loss }) => loss),
    );
    assert.deepEqual(made(out(name)), made(out(`whole-${kind}`)));
  });
}

test('a model that is quantized already is what training begins with', async () => {
  const { model: start } = await quantizePostTraining(model, out('ptq'), {
    config: { ...DEFAULT_QUANTIZATION, buckets: 2, include: ['*.resnets.*'] },
    ...{ samples: 2, steps: 4, guidanceScale: 3, sensitivityPrompts: 0 },
  });
  const { report } = await run('from-ptq', {}, out('ptq'));
  assert.deepEqual(report.model.config, start.config);
  assert.deepEqual(
    report.layers.map(({ path }) => path),
    start.reports.map(({ path }) => path),
  );
  assert.equal(report.model.origin.samples, start.origin.samples);
  assert.notDeepEqual(made(out('from-ptq'))[1], made(out('ptq'))[1]);
});

test('scales of whole tensors are trained as those of channels are', async () => {
  const config = {
    ...DEFAULT_QUANTIZATION,
    buckets: 1,
    weights: { ...DEFAULT_QUANTIZATION.weights, granularity: 'per-tensor' as const },
  };
  const { steps } = await run('per-tensor', { config });
  assert.equal(steps.length, TRAINING.steps);
});

test('unconditional models learn without prompts', async () => {
  const ddim = await writeTinyModel('ddim', out('ddim'));
  const { steps, report } = await run('unconditional', {}, ddim);
  assert.equal(steps.length, TRAINING.steps);
  assert.equal(report.model.origin.method, 'qat');
});

test('what cannot be meant is refused', async () => {
  const refused = (options: Partial<QuantizationAwareOptions>, message: RegExp) =>
    assert.rejects(run('refused', options), { code: 'invalid-argument', message });
  await refused({ distillation: 1 }, /Without images there is no target/);
  await refused({ distillation: -1 }, /must lie between/);
  await refused({ use: { precision: 'bf16' } }, /None of the/);
  await refused({ use: { precision: 'auto', minPsnr: 30 } }, /decides that later/);
  await refused({ training: { ...TRAINING, steps: 0 } }, /steps is 0/);
});

test('models that inpaint or are told their guidance are refused', async () => {
  for (const name of ['sd-inpaint', 'sd-distilled'] as const) {
    const other = await writeTinyModel(name, out(name));
    await assert.rejects(run(`from-${name}`, {}, other), { code: 'unsupported' });
  }
});
