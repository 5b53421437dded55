import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatSchedule } from '../quantization/precision-schedule.ts';
import type { PrecisionSensitivity } from '../quantization/sensitivity.ts';
import { createScheduler, type SchedulerName } from '../schedulers/index.ts';
import { bestPrecision } from './cpu-precision.ts';
import { precisionSchedule, resolvePrecision } from './precision-plan.ts';
import type { PrecisionOptions } from './request.ts';

const SENSITIVITY: PrecisionSensitivity = {
  points: [
    { angle: 1.4, amplitude: 0.04 },
    { angle: 0.1, amplitude: 0.0001 },
  ],
  exponent: 1.5,
  floor: 0,
  int8Psnr: 30,
  conditions: { scheduler: 'ddim', steps: 4, guidanceScale: 3, width: 8, height: 8, prompts: 1 },
};
const SUBJECT = {
  origin: 'the model',
  sensitivity: SENSITIVITY,
  requireInt8: () => undefined,
  measure: async () => ({ fp32: 2, bf16: 2, int8: 1 }),
};
const high = bestPrecision();

async function resolved(
  options: PrecisionOptions,
  { scheduler = 'ddim', steps = 10, startStep = 0 }: Partial<Run> = {},
) {
  const made = createScheduler(scheduler, { skip_prk_steps: true });
  const run = made.plan(steps, { startStep });
  return resolvePrecision(precisionSchedule({}, options), made, run, SUBJECT);
}

interface Run {
  readonly scheduler: SchedulerName;
  readonly steps: number;
  readonly startStep: number;
}

async function formatted(options: PrecisionOptions, run?: Partial<Run>): Promise<string> {
  return formatSchedule((await resolved(options, run)).schedule);
}

test('a request goes before what the model was loaded with', () => {
  const loaded = { precision: 'mixed', highPrecisionSteps: 2 } as const;
  assert.deepEqual(precisionSchedule({}), { kind: 'uniform', precision: high });
  assert.deepEqual(precisionSchedule(loaded), { kind: 'mixed', high, highPrecisionSteps: 2 });
  const other = { ...loaded, highPrecisionSteps: 3, kind: 'mixed', high };
  assert.equal(
    (precisionSchedule(loaded, { highPrecisionSteps: 3 }) as typeof other).highPrecisionSteps,
    3,
  );
  const fp32 = { kind: 'uniform', precision: 'fp32' };
  assert.deepEqual(precisionSchedule(loaded, { precision: 'fp32' }), fp32);
  assert.equal(precisionSchedule(loaded, { schedule: 'bf16x3' }).kind, 'list');
  assert.deepEqual(precisionSchedule({ schedule: 'int8' }, { precision: 'fp32' }), fp32);
});

test('options that contradict one another are refused in a sentence', () => {
  const wrong: Record<string, unknown>[] = [
    { precision: 'int4' },
    { precision: 'bf16', schedule: 'bf16' },
    { precision: 'bf16', highPrecisionSteps: 2 },
    { highPrecisionSteps: 2 },
    { schedule: 'bf16', highPrecisionSteps: 2 },
    { precision: 'mixed', highPrecisionSteps: -1 },
    { precision: 'mixed', highPrecisionSteps: 1.5 },
    { precision: 'mixed', maxSeconds: 3 },
    { precision: 'auto' },
    { precision: 'auto', maxSeconds: Number.NaN },
    { precision: 'auto', minPsnr: -1 },
    { schedule: ['bf16', 'int4'] },
    { schedule: 'bf17' },
  ];
  for (const options of wrong) {
    assert.throws(() => precisionSchedule({}, options as PrecisionOptions), {
      code: 'invalid-argument',
      message: /^[^\n]+\.$/,
    });
  }
});

test('evaluations are counted, not steps: PNDM has one more, image-to-image fewer', async () => {
  const mixed = { precision: 'mixed', highPrecisionSteps: 2 } as const;
  assert.equal(await formatted(mixed), `${high}x2,int8x6,${high}x2`);
  assert.equal(await formatted(mixed, { scheduler: 'pndm' }), `${high}x2,int8x7,${high}x2`);
  assert.equal(await formatted(mixed, { startStep: 5 }), `${high}x2,int8x1,${high}x2`);
  assert.equal(await formatted(mixed, { startStep: 7 }), high);
  const list = { schedule: ['fp32', ...Array(9).fill('int8')] } as const;
  assert.equal(await formatted(list), 'fp32x1,int8x9');
  await assert.rejects(formatted(list, { scheduler: 'pndm' }), /evaluates the model 11 times/);
});

test('noise levels are those of the timesteps, also where these are not whole', async () => {
  const names: SchedulerName[] = ['ddim', 'euler', 'dpmpp-2m-karras'];
  for (const scheduler of names) {
    const made = createScheduler(scheduler, {});
    const { timesteps } = made.plan(10);
    const schedule = await formatted({ schedule: 'int8@1..,fp32' }, { scheduler });
    const noisy = timesteps.filter((t) => made.noiseSchedule.alphasCumprod[Math.round(t)] <= 0.5);
    assert.equal(schedule, `int8x${noisy.length},fp32x${10 - noisy.length}`, scheduler);
  }
});

test('auto chooses under its budget, and says what it expects', async () => {
  const { schedule, prediction } = await resolved({ precision: 'auto', maxSeconds: 15 });
  assert.equal(schedule.filter((precision) => precision === 'int8').length, 5);
  assert.equal(prediction?.seconds, 15);
  assert.ok(prediction.psnr! > 40);
  const exact = await resolved({ precision: 'auto', minPsnr: 500 });
  assert.deepEqual(exact.prediction, { seconds: 20 });
  assert.equal((await resolved({ precision: 'bf16' })).prediction, undefined);
});

test('auto needs a measured sensitivity, and INT8 a quantized model', async () => {
  const scheduler = createScheduler('ddim', {});
  const run = scheduler.plan(4);
  const auto = precisionSchedule({ precision: 'auto', maxSeconds: 1 });
  const unmeasured = { ...SUBJECT, sensitivity: undefined };
  await assert.rejects(resolvePrecision(auto, scheduler, run, unmeasured), {
    code: 'unsupported',
    message: /^the model .*bookend quantize.*\.$/,
  });
  const refuse = () => {
    throw new Error('no INT8');
  };
  for (const options of [{ precision: 'mixed' }, { schedule: 'bf16x3,int8' }] as const) {
    const schedule = precisionSchedule(options);
    const plain = { ...SUBJECT, requireInt8: refuse };
    await assert.rejects(resolvePrecision(schedule, scheduler, run, plain), /no INT8/);
  }
});
