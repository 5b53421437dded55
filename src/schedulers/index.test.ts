import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BookendError, type ErrorCode } from '../core/errors.ts';
import { TorchGenerator } from '../core/rng.ts';
import {
  createScheduler,
  latentSchedulerJson,
  parseSchedulerJson,
  type SchedulerRun,
  schedulerFromConfig,
  schedulerNames,
  velocity,
} from './index.ts';

const base = { beta_start: 0.00085, beta_end: 0.012, beta_schedule: 'scaled_linear' };
const noise = new TorchGenerator(1).normalFloat32(8);
const image = Float32Array.of(0.9, -0.8, 0.7, -0.5, 0.4, -0.3, 0.2, -0.1);

function throwsBookend(action: () => unknown, code: ErrorCode, ...words: string[]): void {
  assert.throws(action, (error) => {
    assert.ok(error instanceof BookendError);
    assert.equal(error.code, code);
    for (const word of words) assert.ok(error.message.includes(word), error.message);
    return true;
  });
}

/** Answers as a model that knows the one image there is: ε = (x − α·x_0)/σ. */
function denoise(run: SchedulerRun, alphasCumprod: Float32Array, seed: number): Float32Array {
  const generator = new TorchGenerator(seed);
  let sample: Float32Array = noise.map((x) => x * run.initNoiseSigma);
  run.timesteps.forEach((timestep, i) => {
    const alpha = alphasCumprod[Math.round(timestep)];
    const input = run.scaleModelInput(sample, i);
    const epsilon = input.map((x, k) => (x - Math.sqrt(alpha) * image[k]) / Math.sqrt(1 - alpha));
    sample = run.step(epsilon, i, sample, (length) => generator.normalFloat32(length));
  });
  return sample;
}

for (const name of schedulerNames) {
  test(`${name} ends at the image that a perfect model knows`, () => {
    const scheduler = createScheduler(name, { ...base, set_alpha_to_one: true });
    const result = denoise(scheduler.plan(25), scheduler.noiseSchedule.alphasCumprod, 2);
    result.forEach((value, k) => {
      // Karras sigmas get whole timesteps, so even a perfect model is asked slightly off the mark.
      assert.ok(Math.abs(value - image[k]) < 0.02, `${value} instead of ${image[k]}`);
    });
  });

  test(`${name} serves two runs at once, and callers may reuse their buffers`, () => {
    const scheduler = createScheduler(name, base);
    const answers = [0, 1, 2, 3].map((seed) => new TorchGenerator(seed).normalFloat32(8));
    const alone = scheduler.plan(4);
    let expected: Float32Array = noise;
    answers.forEach((answer, i) => {
      expected = alone.step(answer, i, expected, () => noise);
    });

    const [run, other] = [scheduler.plan(4), scheduler.plan(4)];
    const output = new Float32Array(8);
    const sample = Float32Array.from(noise);
    answers.forEach((answer, i) => {
      output.set(answer);
      sample.set(run.step(output, i, sample, () => noise));
      output.fill(7);
      other.step(output, i, output, () => noise);
    });
    assert.deepEqual(sample, expected);
  });
}

test('the scheduler is chosen by class, and its name tells Karras sigmas', () => {
  const of = (className: string, more = {}) =>
    schedulerFromConfig({ _class_name: className, ...more }).name;
  assert.equal(of('PNDMScheduler'), 'pndm');
  assert.equal(of('DPMSolverMultistepScheduler'), 'dpmpp-2m');
  assert.equal(of('DPMSolverMultistepScheduler', { use_karras_sigmas: true }), 'dpmpp-2m-karras');
});

test('a scheduler chosen by name takes over what both configurations have', () => {
  const scheduler = createScheduler('euler', {
    _class_name: 'UniPCMultistepScheduler',
    ...base,
    prediction_type: 'v_prediction',
    solver_order: 3,
    sigma_min: null,
  });
  assert.equal(scheduler.predictionType, 'v_prediction');
  assert.equal(scheduler.config.beta_end, 0.012);
  assert.equal(scheduler.config.timestep_spacing, 'linspace');
  assert.ok(!('solver_order' in scheduler.config));
  const solver = createScheduler('dpmpp-2m', { solver_type: 'bh2', solver_order: 3 });
  assert.equal(solver.config.solver_type, 'midpoint');
  assert.equal(solver.config.solver_order, 2);
});

test('latents are not clipped, and count their timesteps from one', () => {
  const { config } = createScheduler('ddim', latentSchedulerJson({ ...base, clip_sample: true }));
  assert.equal(config.clip_sample, false);
  assert.equal(config.steps_offset, 1);
  assert.equal(config.beta_start, base.beta_start);
});

test('unknown schedulers and unsupported options are refused with what there is', () => {
  throwsBookend(() => createScheduler('plms', base), 'unsupported', "'plms'", 'pndm', 'unipc');
  throwsBookend(() => createScheduler('toString', base), 'unsupported');
  throwsBookend(
    () => schedulerFromConfig({ _class_name: 'HeunDiscreteScheduler' }),
    'unsupported',
    'HeunDiscreteScheduler',
    'DDIMScheduler',
  );
  throwsBookend(
    () => createScheduler('ddim', { beta_schedule: 'sigmoid' }),
    'unsupported',
    'beta_schedule = "sigmoid"',
    '"scaled_linear"',
  );
  throwsBookend(
    () => createScheduler('pndm', { prediction_type: 'sample' }),
    'unsupported',
    '"epsilon", "v_prediction"',
  );
  throwsBookend(() => createScheduler('ddpm', { variance_type: 'learned' }), 'unsupported');
  throwsBookend(() => createScheduler('euler', { use_beta_sigmas: true }), 'unsupported');
  throwsBookend(
    () => schedulerFromConfig({ _class_name: 'UniPCMultistepScheduler', predict_x0: false }),
    'unsupported',
    'sigma_min',
  );
  throwsBookend(
    () =>
      createScheduler('euler', { use_karras_sigmas: true, use_exponential_sigmas: true }).plan(5),
    'unsupported',
  );
  throwsBookend(
    () => createScheduler('ddim', { beta_start: 'small' }),
    'invalid-argument',
    'beta_start = "small"',
  );
  throwsBookend(() => createScheduler('ddim', { num_train_timesteps: 0 }), 'invalid-argument');
  throwsBookend(() => createScheduler('ddim', { trained_betas: [0.1] }), 'unsupported', '1000');
  throwsBookend(() => createScheduler('ddim', { beta_end: 3 }), 'unsupported', 'between 0 and 1');
});

test('plans that cannot be are refused', () => {
  const ddim = createScheduler('ddim', base);
  for (const steps of [0, -1, 2.5, Number.NaN, 1001]) {
    throwsBookend(() => ddim.plan(steps), 'invalid-argument', 'inference steps');
  }
  throwsBookend(() => ddim.plan(5, { startStep: 5 }), 'invalid-argument');
  throwsBookend(() => ddim.plan(5, { eta: 2 }), 'invalid-argument');
  throwsBookend(() => createScheduler('euler', base).plan(5, { eta: 0.5 }), 'unsupported', 'ddim');
  throwsBookend(() => createScheduler('lcm', base).plan(51), 'invalid-argument', '50');
  const pndm = createScheduler('pndm', base);
  throwsBookend(() => pndm.plan(3), 'invalid-argument', 'skip_prk_steps');
  throwsBookend(() => pndm.plan(9, { startStep: 1 }), 'unsupported', 'skip_prk_steps');
});

test('steps out of order and samples of another size are refused', () => {
  const run = createScheduler('ddim', base).plan(5);
  const step = (index: number, output = noise) => run.step(output, index, noise, () => noise);
  throwsBookend(() => step(1), 'invalid-argument', 'step 0 was due');
  step(0);
  throwsBookend(() => step(0), 'invalid-argument');
  throwsBookend(() => step(5), 'invalid-argument');
  throwsBookend(() => step(1, noise.subarray(1)), 'invalid-argument', '8');
});

test('a noise prediction where there is no signal is refused, not turned into NaN', () => {
  const config = { ...base, rescale_betas_zero_snr: true, timestep_spacing: 'trailing' };
  const run = createScheduler('ddim', config).plan(5);
  throwsBookend(() => run.step(noise, 0, noise, () => noise), 'unsupported', 'v_prediction');
});

test('the logarithmic variance types stand for the same deviations', () => {
  for (const type of ['fixed_small', 'fixed_large']) {
    const steps = [type, `${type}_log`].map((variance_type) =>
      createScheduler('ddpm', { ...base, variance_type })
        .plan(9)
        .step(noise, 0, noise, () => noise),
    );
    assert.deepEqual(steps[0], steps[1]);
  }
});

test('noise is drawn only where it is used, and by Euler ancestral at every step', () => {
  const draws = (name: string, eta?: number) => {
    const run = createScheduler(name, base).plan(4, { eta });
    let count = 0;
    run.timesteps.forEach((_, i) => {
      run.step(noise, i, noise, () => {
        count++;
        return noise;
      });
    });
    return count;
  };
  assert.equal(draws('ddim'), 0);
  assert.equal(draws('ddim', 1), 4);
  assert.equal(draws('ddpm'), 3);
  assert.equal(draws('lcm'), 3);
  assert.equal(draws('euler'), 0);
  assert.equal(draws('euler-ancestral'), 4);
});

test('training noise and velocity follow the forward process', () => {
  const scheduler = createScheduler('euler', base);
  const alpha = scheduler.noiseSchedule.alphasCumprod[400];
  const noisy = scheduler.addNoise(image, noise, 400);
  const v = velocity(image, noise, alpha);
  for (let i = 0; i < image.length; i++) {
    const expected = Math.sqrt(alpha) * image[i] + Math.sqrt(1 - alpha) * noise[i];
    assert.ok(Math.abs(noisy[i] - expected) < 1e-6);
    // α·x_t − σ·v is x_0, by definition of the velocity.
    const clean = Math.sqrt(alpha) * noisy[i] - Math.sqrt(1 - alpha) * v[i];
    assert.ok(Math.abs(clean - image[i]) < 1e-6);
  }
  throwsBookend(() => scheduler.addNoise(image, noise, 1000), 'invalid-argument', '999');
});

test('a configuration with Python’s infinities is read, and broken ones are refused', () => {
  const json = parseSchedulerJson(
    '{"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -Infinity, "note": "-Infinity \\" NaN"}',
  );
  assert.equal(json.note, '-Infinity " NaN');
  assert.equal(schedulerFromConfig(json).plan(5).timesteps.length, 5);
  throwsBookend(() => parseSchedulerJson('{"a": '), 'invalid-checkpoint');
  throwsBookend(() => parseSchedulerJson('[1]'), 'invalid-checkpoint');
});
