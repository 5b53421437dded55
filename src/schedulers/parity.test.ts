import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { TorchGenerator } from '../core/rng.ts';
import {
  createScheduler,
  type Scheduler,
  type SchedulerJson,
  type SchedulerRun,
  schedulerFromConfig,
} from './index.ts';

/** A recorded run of diffusers; test/golden/schedulers/make.py says how. */
interface Recording {
  name: string | null;
  config: SchedulerJson;
  steps: number;
  start: number;
  batch: number;
  eta: number;
  /** On the relative L2 error of each step: 1e-6 with few exceptions, which make.py explains. */
  tolerance: number;
  timesteps: number[];
  initNoiseSigma: number;
  noised: string;
  samples: string;
}

const golden: { cases: Recording[] } = JSON.parse(
  readFileSync(new URL('../../test/golden/schedulers/steps.json', import.meta.url), 'utf8'),
);
const LENGTH = 64;

for (const recording of golden.cases) {
  const { name, config, steps, start, batch, eta } = recording;
  const { _class_name, trained_betas, ...options } = config;
  const title = [
    name ? `${name} for ${_class_name}` : _class_name,
    `${steps} steps from ${start}`,
    JSON.stringify({ ...options, ...(trained_betas ? { trained_betas: '…' } : {}) }),
  ].join(', ');

  test(title, () => {
    const scheduler = name ? createScheduler(name, config) : schedulerFromConfig(config);
    const plan = () => scheduler.plan(steps, { startStep: start, batchSize: batch, eta });
    checkPlan(plan(), recording);
    const recorded = decode(recording.samples);
    checkEachStep(plan(), recorded, recording.tolerance);
    checkFreeRun(scheduler, plan(), recorded, recording.tolerance * 10);
  });
}

function checkPlan(run: SchedulerRun, { timesteps, initNoiseSigma, noised }: Recording): void {
  assert.equal(run.timesteps.length, timesteps.length);
  timesteps.forEach((timestep, i) => {
    // Chosen noise levels have fractional timesteps, interpolated in numpy's float32 logarithms.
    const tolerance = Number.isInteger(timestep) ? 0 : 2e-4;
    assert.ok(Math.abs(run.timesteps[i] - timestep) <= tolerance, `timestep ${i}`);
  });
  assert.ok(Math.abs(run.initNoiseSigma / initNoiseSigma - 1) < 1e-7);
  const [expected] = decode(noised);
  assertClose(run.addNoise(uniform(1), uniform(2), 0), expected, 1e-6, 'noised sample');
}

/** Every step starts from the recorded sample, so that errors do not add up; history is our own. */
function checkEachStep(run: SchedulerRun, recorded: Float32Array[], tolerance: number): void {
  const noise = noiseSource();
  let sample = initialSample(run);
  recorded.forEach((expected, i) => {
    assertClose(
      run.step(answer(run, sample, i), i, sample, noise),
      expected,
      tolerance,
      `step ${i}`,
    );
    sample = expected;
  });
}

function checkFreeRun(
  scheduler: Scheduler,
  run: SchedulerRun,
  recorded: Float32Array[],
  tolerance: number,
): void {
  const noise = noiseSource();
  let sample = initialSample(run);
  recorded.forEach((_, i) => {
    sample = run.step(answer(run, sample, i), i, sample, noise);
  });
  assertClose(sample, recorded[recorded.length - 1], tolerance, `end of ${scheduler.name}`);
}

function initialSample(run: SchedulerRun): Float32Array {
  return uniform(3).map((x) => x * Math.fround(run.initNoiseSigma));
}

/** The recorded runs' stand-in for a model. */
function answer(run: SchedulerRun, sample: Float32Array, index: number): Float32Array {
  const offset = uniform(100 + index);
  return run.scaleModelInput(sample, index).map((x, i) => x * 0.5 + offset[i]);
}

function uniform(seed: number): Float32Array {
  return new TorchGenerator(seed).uniformFloat32(LENGTH).map((u) => u * 4 - 2);
}

function noiseSource() {
  const generator = new TorchGenerator(4);
  return (length: number) => generator.normalFloat32(length);
}

function decode(text: string): Float32Array[] {
  const bytes = Uint8Array.from(Buffer.from(text, 'base64'));
  const all = new Float32Array(bytes.buffer);
  return Array.from({ length: all.length / LENGTH }, (_, i) =>
    all.subarray(i * LENGTH, (i + 1) * LENGTH),
  );
}

function assertClose(
  actual: Float32Array,
  expected: Float32Array,
  tolerance: number,
  what: string,
): void {
  assert.equal(actual.length, expected.length, what);
  const difference = Math.hypot(...actual.map((x, i) => x - expected[i]));
  const error = difference / Math.hypot(...expected);
  assert.ok(error <= tolerance, `${what}: relative L2 error ${error}`);
}
