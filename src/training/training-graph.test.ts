import assert from 'node:assert/strict';
import { test } from 'node:test';
import { relativeError } from '../../test/support/graphs.ts';
import { evaluate, tinyInputs, tinyUNet } from '../../test/support/tiny-qat.ts';
import { f32, type Tensor } from '../core/tensor.ts';
import { graphParameters } from '../models/parameters.ts';
import { hashedInput, hashedWeights } from '../models/random-weights.ts';
import { gradientName } from '../passes/differentiate.ts';
import { trainingGraph } from './training-graph.ts';

const network = tinyUNet(2);
const PARAMETER = 'conv_out.weight';
const source = hashedWeights(graphParameters(network));
const tensors = new Map<string, Tensor>();
for (const path of source.names()) tensors.set(path, await source.read(path));
const inputs = {
  ...tinyInputs(network, [100, 900]),
  target: hashedInput('target', network.outputs.sample.shape),
  teacher: hashedInput('teacher', network.outputs.sample.shape),
  sampleWeights: f32([2], [0.5, 2]),
};

async function step(distillation: number, weighted = false, weights = tensors) {
  const options = { withRespectTo: [PARAMETER], distillation, weighted, precision: 'f32' } as const;
  const graph = trainingGraph(network, options);
  const given = Object.entries(inputs).filter(([name]) => Object.hasOwn(graph.inputs, name));
  return { graph, outputs: await evaluate(graph, Object.fromEntries(given), weights) };
}

const lossOf = async (...args: Parameters<typeof step>) =>
  (await step(...args)).outputs.loss.data[0];

test('the loss is the sum of its parts, as λ weighs them', async () => {
  const { outputs } = await step(3);
  const [target, teacher] = [outputs.targetLoss.data[0], outputs.teacherLoss.data[0]];
  assert.ok(Math.abs(outputs.loss.data[0] - target - 3 * teacher) < 1e-9);
  assert.equal(await lossOf(0), target);
  assert.equal(await lossOf(Number.POSITIVE_INFINITY), teacher);
});

test('a graph asks for what its loss compares with', async () => {
  const asked = async (distillation: number, weighted: boolean) =>
    Object.keys((await step(distillation, weighted)).graph.inputs).filter(
      (name) => !Object.hasOwn(network.inputs, name),
    );
  assert.deepEqual(await asked(1, true), ['target', 'teacher', 'sampleWeights']);
  assert.deepEqual(await asked(0, false), ['target']);
  assert.deepEqual(await asked(Number.POSITIVE_INFINITY, false), ['teacher']);
});

test('gradients are those of the weighted loss', async () => {
  const { outputs } = await step(1, true);
  const gradient = outputs[gradientName(PARAMETER)].data;
  const { shape, data } = tensors.get(PARAMETER)!;
  const at = 5;
  const H = 1e-3;
  const moved = async (by: number) => {
    const values = Float64Array.from(data as Float32Array);
    values[at] += by;
    return lossOf(1, true, new Map(tensors).set(PARAMETER, f32(shape, values)));
  };
  const difference = ((await moved(H)) - (await moved(-H))) / (2 * H);
  assert.ok(Math.abs(difference - gradient[at]) < 1e-3 * Math.abs(gradient[at]));
  const plain = (await step(1)).outputs[gradientName(PARAMETER)].data;
  assert.ok(relativeError(plain, gradient) > 0.01);
});

test('in bf16, answers are compared in float32', () => {
  const options = { withRespectTo: [PARAMETER], distillation: 1, weighted: true } as const;
  const graph = trainingGraph(network, { ...options, precision: 'bf16' });
  const ofLoss = graph.nodes.filter(({ scope, op }) => scope === 'loss' && op !== 'cast');
  assert.ok(ofLoss.length > 10);
  for (const { op, inputs } of ofLoss) {
    assert.ok(
      Object.values(inputs).every(({ dtype }) => dtype === 'f32'),
      op,
    );
  }
  const products = graph.nodes.filter(({ op }) => op === 'conv2d');
  assert.ok(products.some(({ inputs }) => inputs.x.dtype === 'bf16'));
});
