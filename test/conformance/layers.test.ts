import assert from 'node:assert/strict';
import { test } from 'node:test';
import { floats } from '../../src/core/tensor.ts';
import { memoryWeights } from '../../src/runtime/memory-weights.ts';
import { referenceBackend } from '../../src/runtime/reference/reference-backend.ts';
import { layerData, layerGraph, layerProblem } from './layer-problems.ts';
import { expectLayer } from './layer-reference.ts';
import { FULL_LAYERS, ODD_LAYERS, REAL_LAYERS } from './layer-shapes.ts';
import { testProblem } from './problem.ts';

test('the sampled reference of these tests agrees with the reference backend', async () => {
  for (const shape of ODD_LAYERS) {
    const data = layerData(shape, 'f32');
    const { graph, inputs, parameters } = layerGraph(shape, data);
    const executable = await referenceBackend.compile(graph, memoryWeights(parameters));
    const { out } = await executable.run(inputs);
    const got = floats(out);
    const { expected } = expectLayer(
      data,
      Array.from(got, (_, i) => i),
    );
    for (const [i, value] of got.entries()) {
      assert.ok(Math.abs(value - expected[i]) <= 1e-6 * (1 + Math.abs(value)), shape.name);
    }
  }
});

for (const shape of [...ODD_LAYERS, ...REAL_LAYERS, ...FULL_LAYERS]) {
  testProblem(layerProblem(shape));
}
