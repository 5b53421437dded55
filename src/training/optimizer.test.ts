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
import { adamWOptions, adamWStep, createAdamWState } from './adamw.ts';
import { createEmaState, emaDecay, emaOptions, updateEma } from './ema.ts';
import { GradientAccumulation } from './gradient-accumulation.ts';
import { clipGradients, gradientNorm } from './gradient-clipping.ts';
import { checkLearningRateSchedule, learningRateAt } from './learning-rate.ts';
import { allFinite, requireSameNames } from './named-arrays.ts';

const TOLERANCE = 1e-6;

function assertClose(actual: ArrayLike<number>, expected: ArrayLike<number>, what: string): void {
  const error = relativeError(actual, expected);
  assert.ok(error <= TOLERANCE, `${what} is off by ${error}`);
}

for (const { options, maxNorm, norms, parameters: after, ...moments } of recorded.adamw) {
  const title = `${JSON.stringify(options)}, ${maxNorm ? `clipped to ${maxNorm}` : 'unclipped'}`;
  test(`AdamW equals torch.optim.AdamW at every step: ${title}`, () => {
    const parameters = startingParameters();
    const state = createAdamWState(parameters);
    for (const [step, expected] of after.entries()) {
      const gradients = gradientsOfStep(step);
      if (maxNorm !== null) {
        assertClose([clipGradients(gradients, maxNorm)], [norms[step]], `norm ${step}`);
        assert.ok(gradientNorm(gradients) <= maxNorm * (1 + TOLERANCE));
      }
      adamWStep(parameters, gradients, state, 1e-2, adamWOptions(options));
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

test('gradients that are not finite are refused by name, before they are scaled', () => {
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
    const gradients = gradientsOfStep(0);
    gradients.get('tensor1')![3] = bad;
    const before = flat(gradients);
    assert.throws(() => clipGradients(gradients, 1), { code: 'non-finite', message: /tensor1/ });
    assert.deepEqual(flat(gradients), before);
  }
  const large = new Map([['x', Float32Array.of(3e38, 3e38)]]);
  assert.ok(Math.abs(gradientNorm(large) / (3e38 * Math.SQRT2) - 1) < 1e-6);
});

test('a step that is refused changes nothing', () => {
  const parameters = startingParameters();
  const state = createAdamWState(parameters);
  const before = flat(parameters);
  const step = (gradients: Map<string, Float32Array>, rate: number) => () =>
    adamWStep(parameters, gradients, state, rate, adamWOptions());
  const fewer = gradientsOfStep(0);
  fewer.delete('tensor1');
  const shorter = gradientsOfStep(0).set('tensor2', new Float32Array(3));
  const more = gradientsOfStep(0).set('other', new Float32Array(3));
  const refused = (run: () => void, message: RegExp) =>
    assert.throws(run, { code: 'invalid-argument', message });
  refused(step(fewer, 1), /nothing for tensor1, which has 7/);
  refused(step(shorter, 1), /3 numbers for tensor2, which has 1/);
  refused(step(more, 1), /have other, which is not among the 3/);
  refused(step(gradientsOfStep(0), Number.NaN), /learning rate is NaN/);
  refused(step(gradientsOfStep(0), -1), /learning rate is -1/);
  assert.deepEqual(flat(parameters), before);
  assert.equal(state.step, 0);
});

for (const { options, decays, averages } of recorded.ema) {
  test(`the moving average equals diffusers' EMAModel: ${JSON.stringify(options)}`, () => {
    const state = createEmaState(startingParameters());
    for (const [step, expected] of averages.entries()) {
      assert.equal(emaDecay(emaOptions(options), step + 1), decays[step]);
      updateEma(gradientsOfStep(step), state, emaOptions(options));
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
  refused(() => clipGradients(gradientsOfStep(0), 0));
  refused(() => new GradientAccumulation(startingParameters(), 0));
});

test('accumulated gradients are the mean, and start afresh after each optimizer step', () => {
  const accumulation = new GradientAccumulation(startingParameters(), 4);
  for (const round of [0, 4]) {
    const steps = [round, round + 1, round + 2, round + 3].map(gradientsOfStep);
    const results = steps.map((gradients) => accumulation.add(gradients));
    assert.deepEqual(results.slice(0, 3), [undefined, undefined, undefined]);
    const expected = flat(steps[0]).map((_, i) => {
      return steps.reduce((sum, gradients) => sum + flat(gradients)[i], 0) / 4;
    });
    assertClose(flat(new Map(results[3])), expected, 'the mean');
  }
  assert.throws(() => accumulation.add(new Map()), { code: 'invalid-argument' });
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
