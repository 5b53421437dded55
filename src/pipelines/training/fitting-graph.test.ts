import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tinyUNet } from '../../../test/support/tiny-qat.ts';
import { compile } from '../../compiler/compile.ts';
import { elementCount } from '../../core/shape.ts';
import { syntheticWeights } from '../../evaluation/synthetic-weights.ts';
import type { Graph } from '../../ir/graph.ts';
import { hashedInput } from '../../models/random-weights.ts';
import { gradientName } from '../../passes/differentiate.ts';
import { nativeBackend } from '../../runtime/native/native-backend.ts';
import { trainingGraph } from '../../training/training-graph.ts';
import { fittingGraph } from './fitting-graph.ts';

const network = tinyUNet(1);
const trainable = [...network.parameters.keys()];
const OPTIONS = {
  withRespectTo: trainable,
  distillation: 0,
  weighted: false,
  precision: 'f32',
} as const;

const nodesOf = ({ nodes }: Graph) => nodes.map(({ op, scope }) => `${op} ${scope}`);

test('as little is computed twice as memory allows', () => {
  const kept = (['nothing', 'cheap', 'blocks'] as const).map((recomputation) =>
    nodesOf(trainingGraph(network, { ...OPTIONS, recomputation })),
  );
  const [nothing, cheap, blocks] = kept;
  assert.ok(nothing.length < cheap.length && cheap.length < blocks.length);
  const fitting = (limit?: number) => nodesOf(fittingGraph(network, trainable, OPTIONS, limit));
  assert.deepEqual(fitting(), nothing);
  assert.deepEqual(fitting(0), blocks);
  const count = trainable.reduce(
    (sum, path) => sum + elementCount(network.parameters.get(path)!.shape),
    0,
  );
  const graph = trainingGraph(network, { ...OPTIONS, recomputation: 'cheap' });
  const inPlace = { parameters: new Set(trainable), outputs: new Set(trainable.map(gradientName)) };
  const { memory } = compile(graph, { passes: [], inPlace });
  // Parameters, gradients, moments and average, the original in bf16, and activations.
  const limit = count * (5 * 4 + 2) + memory.arenaBytes;
  assert.deepEqual(fitting(limit), cheap);
  assert.deepEqual(fitting(limit - 1), blocks);
});

test('what is computed twice changes no bit', async () => {
  const inputs = Object.fromEntries(
    Object.entries(trainingGraph(network, OPTIONS).inputs).map(([name, { shape }]) => [
      name,
      hashedInput(name, shape),
    ]),
  );
  const results = [];
  for (const recomputation of ['nothing', 'cheap', 'blocks'] as const) {
    const graph = trainingGraph(network, { ...OPTIONS, recomputation });
    const weights = syntheticWeights(network.parameters);
    const executable = await nativeBackend.compile(graph, weights, { passes: [], threads: 1 });
    results.push(await executable.run(inputs));
    executable.dispose();
  }
  assert.ok(Object.keys(results[0]).length > 50);
  assert.deepEqual(results[1], results[0]);
  assert.deepEqual(results[2], results[0]);
});
