import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  assertEquivalent,
  evaluateRandomly,
  graphOf,
  opsOf,
  relativeError,
} from '../../test/support/graphs.ts';
import type { Graph } from '../ir/graph.ts';
import * as ops from '../ir/ops/index.ts';
import { inferencePasses, runPasses } from './index.ts';

/** A residual block between an input and an output convolution, with a time embedding. */
function block(): Graph {
  return graphOf((b) => {
    const sample = b.input('sample', 'f32', [2, 4, 4, 4]);
    const timestep = b.input('timestep', 'f32', [2]);
    const conv = (name: string, x = sample, channels = 8) =>
      b.scope(name, () => {
        const weight = b.parameter('weight', [channels, x.shape[3], 3, 3]);
        return ops.conv2d(b, x, weight, b.parameter('bias', [channels]), { padding: 1 });
      });
    const attributes = { dim: 6, flipSinToCos: true, freqShift: 0, maxPeriod: 10000 };
    const time = ops.timestepEmbedding(b, timestep, attributes);
    const row = ops.linear(b, time, b.parameter('time', [8, 6]));
    const x = conv('conv_in');
    const [gamma, beta] = [b.parameter('gamma', [8]), b.parameter('beta', [8])];
    const normed = ops.silu(b, ops.groupNorm(b, x, gamma, beta, { groups: 4, eps: 1e-5 }));
    const h = ops.add(b, conv('conv1', normed), ops.reshape(b, row, [2, 1, 1, 8]));
    const sum = ops.add(b, x, conv('conv2', ops.silu(b, h)));
    return { sample: conv('conv_out', sum, 4) };
  });
}

test('f32 inference fuses and computes the same', async () => {
  const graph = block();
  const result = runPasses(graph, inferencePasses('f32'));
  await assertEquivalent(result, graph);
  assert.deepEqual(opsOf(result), [
    'timestepEmbedding',
    'linear',
    'conv2d',
    'groupNorm',
    'conv2d',
    'conv2d',
    'conv2d',
  ]);
});

test('bf16 keeps the interface and the exact meaning', () =>
  assertEquivalent(runPasses(block(), inferencePasses('bf16')), block()));

test('bf16 stores activations and weights in bf16, biases and norm parameters in f32', () => {
  const graph = runPasses(block(), inferencePasses('bf16'));
  for (const [path, { dtype }] of graph.parameters) {
    const isWeight = path.endsWith('weight') || path === 'time';
    assert.equal(dtype, isWeight ? 'bf16' : 'f32', path);
  }
  for (const node of graph.nodes) {
    if (node.op === 'cast' || node.op === 'timestepEmbedding') continue;
    assert.equal(node.outputs[0].dtype, 'bf16', node.op);
    if (node.inputs.rowBias) assert.equal(node.inputs.rowBias.dtype, 'f32');
  }
  const casts = graph.nodes.filter((node) => node.op === 'cast');
  assert.deepEqual(
    casts.map((node) => [node.inputs.x.dtype, node.attributes.dtype]),
    [
      ['f32', 'bf16'],
      ['f32', 'bf16'],
      ['bf16', 'f32'],
      ['bf16', 'f32'],
    ],
    'time embedding in, sample in, row bias out, sample out',
  );
});

test('rounded to bf16 the block is off by about 2⁻⁸, not more', async () => {
  const exact = (await evaluateRandomly(block())).sample.data;
  const bf16 = runPasses(block(), inferencePasses('bf16'));
  const rounded = (await evaluateRandomly(bf16, { roundToDType: true })).sample.data;
  const error = relativeError(rounded, exact);
  assert.ok(error > 2 ** -11 && error < 2 ** -7, String(error));
  const f32 = runPasses(block(), inferencePasses('f32'));
  const single = (await evaluateRandomly(f32, { roundToDType: true })).sample.data;
  assert.ok(relativeError(single, exact) < 1e-6);
});

test('a parameter that is read both as a bias and as an activation stays f32 beside a cast', async () => {
  const graph = graphOf((b) => {
    const x = b.input('x', 'f32', [2, 3]);
    const shared = b.parameter('shared', [3]);
    return { y: ops.add(b, ops.linear(b, x, b.parameter('w', [3, 3]), shared), shared) };
  });
  const result = runPasses(graph, inferencePasses('bf16'));
  await assertEquivalent(result, graph);
  assert.equal(result.parameters.get('shared')?.dtype, 'f32');
});

test('an output that is an input or an s32 value needs no cast', async () => {
  const graph = graphOf((b) => {
    const ids = b.input('ids', 's32', [3]);
    return { ids, x: b.input('x', 'f32', [2]) };
  });
  const result = runPasses(graph, inferencePasses('bf16'));
  await assertEquivalent(result, graph);
  assert.deepEqual(opsOf(result), []);
});
