import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recorded } from '../../test/golden/training/recorded.ts';
import { finiteDifferences, TOLERANCE } from '../../test/gradients/finite-differences.ts';
import { graphOf, randomArray, randomSources, relativeError } from '../../test/support/graphs.ts';
import type { Graph, Value } from '../ir/graph.ts';
import { GraphBuilder } from '../ir/graph-builder.ts';
import * as ops from '../ir/ops/index.ts';
import { differentiate } from '../passes/differentiate.ts';
import { interpret } from '../runtime/reference/interpret.ts';
import type { PredictionType } from '../schedulers/prediction.ts';
import { distillationLoss, type LossOutputs, minSnrWeights } from './losses.ts';

const SHAPE = [2, 2, 3, 2];
const BATCH = [2];

interface Case {
  readonly distillation: number;
  readonly weighted: boolean;
}

const cases: Case[] = [0, 0.3, 1, Number.POSITIVE_INFINITY].flatMap((distillation) =>
  [false, true].map((weighted) => ({ distillation, weighted })),
);

/** The loss of tanh(x · w) with inputs of one name each. */
function lossGraph({ distillation, weighted }: Case): Graph {
  return graphOf((b) => {
    const x = b.input('x', 'f32', SHAPE);
    const student = ops.tanh(b, ops.mul(b, x, b.parameter('w', SHAPE.slice(-1))));
    const input = (name: string, shape: number[]) => b.input(name, 'f32', shape);
    const losses = distillationLoss(b, {
      student,
      distillation,
      target: distillation === Number.POSITIVE_INFINITY ? undefined : input('target', SHAPE),
      teacher: distillation === 0 ? undefined : input('teacher', SHAPE),
      sampleWeights: weighted ? input('weights', BATCH) : undefined,
    });
    return { ...losses, student };
  });
}

/** The mean squared error in plain arithmetic, on the same numbers as `randomSources` gives. */
function expectedError(student: ArrayLike<number>, other: string, weighted: boolean): number {
  const { data } = randomArray(other, { shape: SHAPE });
  const weights = randomArray('weights', { shape: BATCH }).data;
  const perSample = data.length / BATCH[0];
  let sum = 0;
  for (let i = 0; i < data.length; i++) {
    sum += (weighted ? weights[Math.floor(i / perSample)] : 1) * (student[i] - data[i]) ** 2;
  }
  return sum / data.length;
}

for (const options of cases) {
  const { distillation, weighted } = options;
  test(`the loss with λ = ${distillation}${weighted ? ', weighted' : ''}, and its gradients`, async () => {
    const graph = lossGraph(options);
    const results = await interpret(graph, randomSources(graph));
    const student = results.student.data;
    const parts = {
      target: distillation === Number.POSITIVE_INFINITY ? 0 : 1,
      teacher: distillation === Number.POSITIVE_INFINITY ? 1 : distillation,
    };
    let expected = 0;
    for (const [name, factor] of Object.entries(parts)) {
      assert.equal(`${name}Loss` in results, factor > 0, name);
      if (factor === 0) continue;
      const error = expectedError(student, name, weighted);
      assert.ok(Math.abs(results[`${name}Loss`].data[0] - error) < 1e-14, name);
      expected += factor * error;
    }
    assert.ok(Math.abs(results.loss.data[0] - expected) < 1e-14);
    assert.deepEqual(graph.outputs.loss.shape, []);

    const gradients = differentiate(graph, { loss: 'loss', withRespectTo: ['w'] });
    const found = await interpret(gradients, randomSources(gradients));
    const error = relativeError(found['gradient:w'].data, await finiteDifferences(graph, 'w'));
    assert.ok(error <= TOLERANCE, `the gradient is off by ${error}`);
  });
}

test('answers in bf16 are compared in float32', () => {
  const graph = graphOf((b) => {
    const student = b.input('student', 'bf16', SHAPE);
    const target = b.input('target', 'f32', SHAPE);
    const { loss }: LossOutputs = distillationLoss(b, { student, target, distillation: 0 });
    return { loss };
  });
  const [difference] = graph.nodes.filter(({ op }) => op === 'sub');
  assert.deepEqual(
    Object.values(difference.inputs).map(({ dtype }) => dtype),
    ['f32', 'f32'],
  );
  assert.equal(graph.outputs.loss.dtype, 'f32');
});

test('what a loss needs and does not get is named', () => {
  const b = new GraphBuilder('test');
  const student = b.input('student', 'f32', SHAPE);
  const refused = (inputs: Parameters<typeof distillationLoss>[1], message: RegExp) =>
    assert.throws(() => distillationLoss(b, inputs), { code: 'invalid-argument', message });
  const of = (name: string, shape: number[]): Value => b.input(name, 'f32', shape);
  refused({ student, target: student, distillation: 1 }, /needs the teacher/);
  refused({ student, teacher: student, distillation: 1 }, /needs the target/);
  refused({ student, target: student, distillation: -1 }, /distillation is -1/);
  refused({ student, target: student, distillation: Number.NaN }, /distillation is NaN/);
  refused(
    { student, target: of('short', [2, 2, 3]), distillation: 0 },
    /\[2, 2, 3\]; the model's answer asks for \[2, 2, 3, 2\]/,
  );
  refused(
    { student, target: student, distillation: 0, sampleWeights: of('three', [3]) },
    /sample weights of a loss has the shape \[3\].*\[2\]/,
  );
});

test("min-SNR weights equal those from diffusers' signal-to-noise ratios", () => {
  const { gamma, alphasCumprod, weights } = recorded.snr;
  for (const [prediction, expected] of Object.entries(weights)) {
    const actual = minSnrWeights(alphasCumprod, gamma, prediction as PredictionType);
    assert.ok(relativeError(actual, expected) < 1e-6, `${prediction}: ${actual}`);
  }
});

test('min-SNR weights are finite at both ends of a noise schedule', () => {
  const ends = (prediction: PredictionType) => [...minSnrWeights([0, 1], 5, prediction)];
  assert.deepEqual(ends('epsilon'), [1, 0]);
  assert.deepEqual(ends('v_prediction'), [0, 0]);
  assert.deepEqual(ends('sample'), [0, 5]);
  assert.throws(() => minSnrWeights([1.1], 5, 'epsilon'), { code: 'invalid-argument' });
  assert.throws(() => minSnrWeights([0.5], 0, 'epsilon'), { code: 'invalid-argument' });
});
