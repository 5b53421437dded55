import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { writeTinyModel } from '../../test/golden/pipelines/tiny-models.ts';
import { writeTinyQuantizedModel } from '../../test/golden/pipelines/tiny-quantized.ts';
import { psnr } from '../evaluation/psnr.ts';
import {
  type GenerationResult,
  StableDiffusionImg2ImgPipeline,
  StableDiffusionPipeline,
  type StepEnd,
  UnconditionalPipeline,
} from '../index.ts';
import { formatSchedule } from '../quantization/precision-schedule.ts';
import type { PrecisionSensitivity } from '../quantization/sensitivity.ts';
import { bestPrecision } from './cpu-precision.ts';
import { loadModel } from './load.ts';
import { quantizePostTraining } from './post-training-quantization.ts';
import { measureSensitivity } from './sensitivity.ts';

const SENSITIVITY: PrecisionSensitivity = {
  points: [
    { angle: 1.4, amplitude: 0.01 },
    { angle: 0.1, amplitude: 0.09 },
  ],
  exponent: 1.5,
  floor: 0,
  int8Psnr: 30,
  conditions: { scheduler: 'ddim', steps: 8, guidanceScale: 3, width: 32, height: 32, prompts: 1 },
};
const REQUEST = { numInferenceSteps: 8, guidanceScale: 3, seed: 5, scheduler: 'ddim' } as const;
const high = bestPrecision();
const scratch = mkdtempSync(join(tmpdir(), 'bookend-precisions-'));
const folder = await writeTinyQuantizedModel(join(scratch, 'int8'), SENSITIVITY);
const pipe = await StableDiffusionPipeline.fromPretrained(folder);
after(async () => {
  await pipe.dispose();
  rmSync(scratch, { recursive: true, force: true });
});

const quality = (one: GenerationResult, other: GenerationResult) =>
  psnr(one.images[0], other.images[0]);

test('int8 and mixed draw nearly what high precision draws, mixed the nearer', async () => {
  const exact = await pipe('an apple', REQUEST);
  const int8 = await pipe('an apple', { ...REQUEST, precision: 'int8' });
  const mixed = await pipe('an apple', {
    ...REQUEST,
    precision: 'mixed',
    highPrecisionSteps: 2,
  });
  assert.equal(formatSchedule(exact.schedule), high);
  assert.equal(formatSchedule(int8.schedule), 'int8');
  assert.equal(formatSchedule(mixed.schedule), `${high}x2,int8x4,${high}x2`);
  const [lower, upper] = [quality(int8, exact), quality(mixed, exact)];
  assert.ok(lower > 20 && lower < upper && upper < 90, `${lower} dB, ${upper} dB`);
});

test('a step in a mixed run is the step of its precision, whatever ran before', async () => {
  const latents: Float32Array[] = [];
  const schedule = `${high}x3,int8x2,${high}x*`;
  const onStepEnd = (event: StepEnd) => latents.push(event.latents);
  await pipe('an apple', { ...REQUEST, schedule, onStepEnd });
  // Runs that agree up to a step have the same latents there, to the bit.
  const prefixes = { [`${high}x*`]: 3, [`${high}x3,int8x*`]: 5, [schedule]: 8 };
  for (const [other, steps] of Object.entries(prefixes)) {
    const found: Float32Array[] = [];
    await pipe('an apple', {
      ...REQUEST,
      schedule: other,
      onStepEnd: (event) => found.push(event.latents),
    });
    assert.deepEqual(found.slice(0, steps), latents.slice(0, steps), other);
    if (steps < 8) assert.notDeepEqual(found[steps], latents[steps], other);
  }
});

test('what a pipeline was loaded with holds where a request does not say', async () => {
  const loaded = await StableDiffusionImg2ImgPipeline.fromPretrained(folder, {
    precision: 'mixed',
    highPrecisionSteps: 1,
  });
  const { images } = await pipe('an apple', REQUEST);
  const image = images[0];
  const redrawn = await loaded('x', { ...REQUEST, image, strength: 0.5 });
  assert.equal(formatSchedule(redrawn.schedule), `${high}x1,int8x2,${high}x1`);
  const pndm = await loaded('x', { ...REQUEST, scheduler: 'pndm', image, strength: 1 });
  assert.equal(formatSchedule(pndm.schedule), `${high}x1,int8x7,${high}x1`);
  const other = await loaded('x', { ...REQUEST, image, strength: 0.5, precision: 'fp32' });
  assert.equal(formatSchedule(other.schedule), 'fp32');
  await loaded.dispose();
});

test('INT8 gives the same image alone, in a batch and on any number of threads', async () => {
  const request = { ...REQUEST, precision: 'int8' } as const;
  const [alone] = (await pipe('an apple', { ...request, seed: 6 })).images;
  const batch = await pipe('an apple', { ...request, numImages: 2 });
  assert.deepEqual(batch.images[1].data, alone.data);
  for (const threads of [1, 3]) {
    const other = await StableDiffusionPipeline.fromPretrained(folder, { threads });
    assert.deepEqual((await other('an apple', { ...request, seed: 6 })).images[0].data, alone.data);
    await other.dispose();
  }
});

test('auto spends INT8 where it hurts least, and says what it expects', async () => {
  const result = await pipe('an apple', { ...REQUEST, precision: 'auto', minPsnr: 35 });
  const { schedule, prediction } = result;
  // INT8 may save no time on so small a model, and then there is none.
  assert.equal(schedule.length, 8);
  assert.ok(prediction && prediction.seconds > 0);
  assert.ok(prediction.psnr === undefined || prediction.psnr >= 35);
  const plenty = await pipe('an apple', { ...REQUEST, precision: 'auto', maxSeconds: 1000 });
  assert.equal(formatSchedule(plenty.schedule), high);
  await assert.rejects(pipe('an apple', { ...REQUEST, precision: 'auto', maxSeconds: 1e-9 }), {
    code: 'invalid-argument',
    message: /at the fastest on this machine/,
  });
});

test('sensitivity is measured step by step, and foretells the whole', async () => {
  const model = pipe.model;
  let progress = [0, 0];
  const request = { prompts: ['an apple', 'a pear'], steps: 6, blocks: 3, guidanceScale: 3 };
  const onProgress = (done: number, total: number) => {
    progress = [done, total];
  };
  const found = await measureSensitivity(model, { ...request, onProgress });
  assert.deepEqual(progress, [2 * (18 + 1 + 2 + 6), 2 * (18 + 1 + 2 + 6)]);
  assert.equal(found.points.length, 3);
  assert.ok(found.points.every(({ amplitude }) => amplitude > 0 && amplitude < 1));
  assert.ok(found.exponent >= 1 && found.exponent <= 2);
  assert.ok(found.int8Psnr > 10 && found.int8Psnr < 100);
  assert.deepEqual(found, await measureSensitivity(model, request));
  const images = await Promise.all(
    request.prompts.map(async (prompt, i) => {
      const drawn = { ...REQUEST, seed: i, numInferenceSteps: 6 };
      return quality(
        await pipe(prompt, { ...drawn, precision: 'int8' }),
        await pipe(prompt, drawn),
      );
    }),
  );
  const mean = (images[0] + images[1]) / 2;
  assert.ok(Math.abs(found.int8Psnr - mean) < 0.5, `${found.int8Psnr} dB, ${mean} dB`);
});

test('a model without INT8 is refused it, at loading and at calling', async () => {
  const plain = await writeTinyModel('sd', join(scratch, 'plain'));
  const refused = { code: 'invalid-argument', message: /`bookend quantize [^`]* --out DIR`/ };
  for (const options of [
    { precision: 'int8' },
    { precision: 'mixed' },
    { precision: 'auto', minPsnr: 30 },
    { schedule: 'bf16x*,int8' },
  ] as const) {
    await assert.rejects(loadModel(plain, options), refused);
  }
  const other = await StableDiffusionPipeline.fromPretrained(plain);
  await assert.rejects(other('x', { ...REQUEST, precision: 'mixed' }), refused);
  await assert.rejects(measureSensitivity(other.model, { prompts: ['x'] }), refused);
  await other.dispose();
});

test('auto wants a model that was measured', async () => {
  const unmeasured = await writeTinyQuantizedModel(join(scratch, 'unmeasured'));
  const other = await StableDiffusionPipeline.fromPretrained(unmeasured);
  await assert.rejects(other('x', { ...REQUEST, precision: 'auto', minPsnr: 30 }), {
    code: 'unsupported',
    message: /sensitive/,
  });
  await other.dispose();
});

test('unconditional models have precisions by step as well', async () => {
  const plain = await writeTinyModel('ddim', join(scratch, 'ddim'));
  const out = join(scratch, 'ddim-int8');
  const report = await quantizePostTraining(plain, out, { samples: 1, steps: 10 });
  assert.equal(report.model.sensitivity?.conditions.guidanceScale, 1);
  const draw = await UnconditionalPipeline.fromPretrained(out, { precision: 'mixed' });
  const request = { numInferenceSteps: 12, seed: 3 };
  const mixed = await draw(request);
  assert.equal(formatSchedule(mixed.schedule), `${high}x5,int8x2,${high}x5`);
  const exact = await draw({ ...request, precision: high });
  const int8 = await draw({ ...request, precision: 'int8' });
  assert.ok(quality(int8, exact) < quality(mixed, exact));
  const auto = await draw({ ...request, precision: 'auto', maxSeconds: 1000 });
  assert.equal(formatSchedule(auto.schedule), high);
  await draw.dispose();
});
