import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  decode,
  flat,
  gradientsOfStep,
  recorded,
  startingParameters,
} from '../../test/golden/training/recorded.ts';
import { relativeError } from '../../test/support/graphs.ts';
import { sharedFloats } from '../runtime/native/shared-floats.ts';
import { adamWOptions, adamWStep, createAdamWState } from './adamw.ts';
import { createEmaState, emaDecay, emaOptions } from './ema.ts';
import { GradientAccumulation } from './gradient-accumulation.ts';
import { clippingFactor, gradientNorm } from './gradient-clipping.ts';
import { checkLearningRateSchedule, learningRateAt } from './learning-rate.ts';
import { allFinite, copyOf, type NamedArrays, requireSameNames } from './named-arrays.ts';

const TOLERANCE = 1e-6;

function assertClose(actual: ArrayLike<number>, expected: ArrayLike<number>, what: string): void {
  const error = relativeError(actual, expected);
  assert.ok(error <= TOLERANCE, `${what} is off by ${error}`);
}

for (const { options, maxNorm, norms, parameters: after, ...moments } of recorded.adamw) {
  const title = `${JSON.stringify(options)}, ${maxNorm ? `clipped to ${maxNorm}` : 'unclipped'}`;
  test(`AdamW equals torch.optim.AdamW at every step: ${title}`, async () => {
    const parameters = startingParameters();
    const state = createAdamWState(parameters);
    for (const [step, expected] of after.entries()) {
      const gradients = gradientsOfStep(step);
      const norm = await gradientNorm(gradients);
      const gradientFactor = maxNorm === null ? 1 : clippingFactor(norm, maxNorm);
      if (maxNorm !== null) {
        assertClose([norm], [norms[step]], `norm ${step}`);
        assert.ok(norm * gradientFactor <= maxNorm * (1 + TOLERANCE));
      }
      const complete = adamWOptions(options);
      await adamWStep(parameters, gradients, state, 1e-2, complete, { gradientFactor });
      assertClose(flat(parameters), decode(expected), `step ${step}`);
    }
    assert.equal(state.step, after.length);
    assertClose(flat(state.firstMoments), decode(moments.firstMoments), 'the first moments');
    assertClose(flat(state.secondMoments), decode(moments.secondMoments), 'the second moments');
  });
}

test('the recorded clipping took place in some steps and not in others', () => {
  const { norms, maxNorm } = recorded.adamw[1];
  assert.ok(norms.some((norm) => norm > maxNorm!) && norms.some((norm) => norm < maxNorm!));
});

test('gradients that are not finite are refused by name', async () => {
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
    const gradients = gradientsOfStep(0);
    gradients.get('tensor1')![3] = bad;
    gradients.get('tensor2')![0] = bad;
    await assert.rejects(gradientNorm(gradients), { code: 'non-finite', message: /tensor1/ });
  }
  const large = copyOf(new Map([['x', Float32Array.of(3e38, 3e38)]]));
  assert.ok(Math.abs((await gradientNorm(large)) / (3e38 * Math.SQRT2) - 1) < 1e-6);
});

test('a step that is refused changes nothing', async () => {
  const parameters = startingParameters();
  const state = createAdamWState(parameters);
  const ema = createEmaState(parameters);
  const before = flat(parameters);
  const refused = (gradients: Map<string, Float32Array>, rate: number, message: RegExp) =>
    assert.rejects(
      adamWStep(parameters, gradients, state, rate, adamWOptions(), {
        average: { state: ema, options: emaOptions() },
      }),
      { code: 'invalid-argument', message },
    );
  const fewer = gradientsOfStep(0);
  fewer.delete('tensor1');
  const shorter = gradientsOfStep(0).set('tensor2', sharedFloats(3));
  const more = gradientsOfStep(0).set('other', sharedFloats(3));
  const elsewhere = gradientsOfStep(0).set('tensor2', new Float32Array(1));
  const mixed = gradientsOfStep(0).set('tensor1', parameters.get('tensor1')!);
  await refused(fewer, 1, /nothing for tensor1, which has 7/);
  await refused(shorter, 1, /3 numbers for tensor2, which has 1/);
  await refused(more, 1, /have other, which is not among the 3/);
  await refused(elsewhere, 1, /gradient tensor2 does not lie in shared memory/);
  await refused(mixed, 1, /tensor1 and \w+ tensor1 overlap/);
  await refused(gradientsOfStep(0), Number.NaN, /learning rate is NaN/);
  await refused(gradientsOfStep(0), -1, /learning rate is -1/);
  assert.deepEqual(flat(parameters), before);
  assert.deepEqual([state.step, ema.step], [0, 0]);
});

for (const { options, decays, averages } of recorded.ema) {
  test(`the moving average equals diffusers' EMAModel: ${JSON.stringify(options)}`, async () => {
    const state = createEmaState(startingParameters());
    // A learning rate of 0 leaves parameters as they are.
    for (const [step, expected] of averages.entries()) {
      assert.equal(emaDecay(emaOptions(options), step + 1), decays[step]);
      const parameters = gradientsOfStep(step);
      const average = { state, options: emaOptions(options) };
      const adamW = createAdamWState(parameters);
      await adamWStep(parameters, startingParameters(), adamW, 0, adamWOptions(), { average });
      assert.deepEqual(parameters, gradientsOfStep(step));
      assertClose(flat(state.average), decode(expected), `step ${step}`);
    }
  });
}

test('the average shares no memory with the parameters', () => {
  const parameters = startingParameters();
  const { average } = createEmaState(parameters);
  parameters.get('tensor2')![0] = 7;
  assert.notEqual(average.get('tensor2')![0], 7);
});

for (const { rates, ...schedule } of recorded.learningRates) {
  test(`learning rates equal diffusers': ${JSON.stringify(schedule)}`, () => {
    checkLearningRateSchedule(schedule);
    for (const [step, rate] of rates.entries()) {
      const actual = learningRateAt(schedule, 1e-4, step);
      assert.ok(Math.abs(actual - rate) <= 1e-16, `step ${step}: ${actual} instead of ${rate}`);
    }
  });
}

test('after its last step the learning rate stays at 0', () => {
  for (const kind of ['linear', 'cosine'] as const) {
    assert.equal(learningRateAt({ kind, warmupSteps: 1, totalSteps: 5 }, 1, 9), 0);
  }
});

test('options out of their ranges are refused', () => {
  const refused = (run: () => unknown) => assert.throws(run, { code: 'invalid-argument' });
  for (const options of [{ beta1: 1 }, { beta2: -0.1 }, { epsilon: Number.NaN }]) {
    refused(() => adamWOptions(options));
  }
  refused(() => adamWOptions({ weightDecay: Number.POSITIVE_INFINITY }));
  refused(() => emaOptions({ decay: 1.1 }));
  refused(() => emaOptions({ decay: 0.5, minDecay: 0.6 }));
  refused(() => emaOptions({ warmup: { inverseGamma: 0, power: 1 } }));
  refused(() => checkLearningRateSchedule({ kind: 'constant', warmupSteps: 0.5 }));
  refused(() => checkLearningRateSchedule({ kind: 'cosine', warmupSteps: 5, totalSteps: 5 }));
  refused(() => clippingFactor(1, 0));
  refused(() => new GradientAccumulation(startingParameters(), 0));
});

test('accumulated gradients are the mean, and start afresh after each optimizer step', async () => {
  const accumulation = new GradientAccumulation(startingParameters(), 4);
  for (const round of [0, 4]) {
    const steps = [round, round + 1, round + 2, round + 3].map(gradientsOfStep);
    const results: (NamedArrays | undefined)[] = [];
    for (const gradients of steps) results.push(await accumulation.add(gradients));
    assert.deepEqual(results.slice(0, 3), [undefined, undefined, undefined]);
    const expected = flat(steps[0]).map((_, i) => {
      return steps.reduce((sum, gradients) => sum + flat(gradients)[i], 0) / 4;
    });
    assertClose(flat(new Map(results[3])), expected, 'the mean');
  }
  await assert.rejects(accumulation.add(new Map()), { code: 'invalid-argument' });
});

test('names are compared both ways', () => {
  const parameters = startingParameters();
  requireSameNames('gradients', gradientsOfStep(0), parameters);
  assert.throws(() => requireSameNames('gradients', parameters, new Map()), /not among the 0/);
});

test('only NaN and infinity are not finite', () => {
  assert.ok(allFinite(Float32Array.of(0, -0, 3.4e38, -3.4e38, 1e-45)));
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
    assert.ok(!allFinite(Float32Array.of(1, bad, 0)));
  }
});
