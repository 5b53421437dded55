import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GraphBuilder } from '../ir/graph-builder.ts';
import { concat } from '../ir/ops/index.ts';
import { graphParameters } from '../models/parameters.ts';
import { hashedInput, hashedWeights } from '../models/random-weights.ts';
import { imageToTokens } from '../nn/attention.ts';
import { conv2d, linear } from '../nn/layers.ts';
import { inferencePasses, runPasses } from '../passes/index.ts';
import { referenceBackend } from '../runtime/reference/reference-backend.ts';
import { Calibration, observedInputs, observeLayerInputs } from './calibration.ts';
import { momentsOf } from './observers/statistics.ts';

/** Two layers read `x`, one of them as tokens; the last reads two sources. */
function smallGraph() {
  const b = new GraphBuilder('small');
  const x = b.input('sample', 'f32', [2, 4, 4, 3]);
  const first = conv2d(b, 'first', x, 4);
  const tokens = linear(b, 'tokens', imageToTokens(b, x), 4);
  b.output('tokens', tokens);
  b.output('sample', conv2d(b, 'last', concat(b, first, conv2d(b, 'second', first, 5)), 2));
  return runPasses(b.finish(), inferencePasses('f32'));
}

const graph = smallGraph();
const LAYERS = ['first', 'tokens', 'second', 'last'];
const SETTINGS = { buckets: 4, trainTimesteps: 1000, momentum: 0.5 };

async function observed() {
  const run = observeLayerInputs(LAYERS).run(graph);
  const weights = hashedWeights(graphParameters(graph));
  const executable = await referenceBackend.compile(run, weights);
  return executable.run({ sample: hashedInput('x', [2, 4, 4, 3]) });
}

test('every tensor that quantized layers read is observed once', () => {
  const inputs = observedInputs(graph, LAYERS);
  assert.deepEqual(
    inputs.map(({ name, channels, readers }) => [name, channels, readers.length]),
    [
      ['first.x', 3, 2],
      ['second.x', 4, 2],
      ['last.skip', 5, 1],
    ],
  );
});

test('observing changes no output, and counts every number in the bucket of its timestep', async () => {
  const outputs = await observed();
  const plain = await referenceBackend.compile(graph, hashedWeights(graphParameters(graph)));
  const expected = await plain.run({ sample: hashedInput('x', [2, 4, 4, 3]) });
  assert.deepEqual(outputs.sample, expected.sample);
  const calibration = new Calibration(observedInputs(graph, LAYERS), SETTINGS);
  assert.throws(() => calibration.requireEveryBucket(), /timesteps 0 to 249/);
  for (const timestep of [999, 750, 749.5, 3]) calibration.add(timestep, outputs);
  assert.throws(() => calibration.requireEveryBucket(), /timesteps 250 to 499/);
  calibration.add(260, outputs);
  calibration.requireEveryBucket();
  const totals = calibration.of(0).map(({ counts }) => counts.reduce((a, b) => a + b));
  assert.deepEqual(totals, [96, 96, 96, 2 * 96]);
  const { means } = momentsOf(calibration.of(0));
  const sample = hashedInput('x', [2, 4, 4, 3]).data;
  for (const channel of [0, 1, 2]) {
    const own = [...sample].filter((_, i) => i % 3 === channel);
    assert.ok(Math.abs(means[channel] - own.reduce((a, b) => a + b) / own.length) < 1e-5);
  }
});

test('statistics go out as tensors and come back as they were', async () => {
  const outputs = await observed();
  const [first, second] = [0, 1].map(
    () => new Calibration(observedInputs(graph, LAYERS), SETTINGS),
  );
  first.add(10, outputs);
  const stored = first.tensors();
  for (const [name, { data }] of second.tensors()) data.set(stored.get(name)!.data);
  for (const calibration of [first, second]) calibration.add(700, outputs);
  assert.deepEqual(second.of(2), first.of(2));
});
