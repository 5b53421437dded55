import assert from 'node:assert/strict';
import { test } from 'node:test';
import { finiteDifferences, TOLERANCE } from '../../test/gradients/finite-differences.ts';
import { graphOf, opsOf, randomSources, relativeError } from '../../test/support/graphs.ts';
import { f32 } from '../core/tensor.ts';
import type { Graph, Value } from '../ir/graph.ts';
import type { GraphBuilder } from '../ir/graph-builder.ts';
import * as ops from '../ir/ops/index.ts';
import { observe } from '../ir/ops/observe.ts';
import { memoryWeights } from '../runtime/memory-weights.ts';
import { interpret } from '../runtime/reference/interpret.ts';
import { referenceBackend } from '../runtime/reference/reference-backend.ts';
import { differentiate } from './differentiate.ts';
import { inferencePasses, runPasses } from './index.ts';

const total = (b: GraphBuilder, x: Value) => ops.sum(b, x, { axes: x.shape.map((_, i) => i) });

/** loss = Σ tanh(x)² · w, in which tanh(x) is read twice. */
function shared(): Graph {
  return graphOf((b) => {
    const y = ops.tanh(b, b.input('x', 'f32', [2, 3]));
    const loss = total(b, ops.mul(b, ops.mul(b, y, y), b.parameter('w', [3])));
    return { loss, y };
  });
}

async function checkGradients(graph: Graph, gradients: Graph, names: string[]): Promise<void> {
  const results = await interpret(gradients, randomSources(gradients));
  for (const name of names) {
    const expected = await finiteDifferences(graph, name);
    const error = relativeError(results[`gradient:${name}`].data, expected);
    assert.ok(error <= TOLERANCE, `${name} is off by ${error}`);
  }
}

test('gradients of a value that is read several times add up', async () => {
  const graph = shared();
  const gradients = differentiate(graph, { loss: 'loss', withRespectTo: ['x', 'w'] });
  assert.deepEqual(Object.keys(gradients.outputs), ['loss', 'y', 'gradient:x', 'gradient:w']);
  assert.ok(opsOf(gradients).includes('add'));
  await checkGradients(graph, gradients, ['x', 'w']);
});

test('nodes that only gradients nobody asked for need are not there', () => {
  const ofX = differentiate(shared(), { loss: 'loss', withRespectTo: ['x'] });
  const ofW = differentiate(shared(), { loss: 'loss', withRespectTo: ['w'] });
  assert.ok(ofW.nodes.length < ofX.nodes.length);
  assert.ok(!opsOf(ofW).includes('add'));
});

test('gradients of outputs are given from outside, and add up', async () => {
  const graph = graphOf((b) => {
    const x = b.input('x', 'f32', [2]);
    return { square: ops.mul(b, x, x), triple: ops.affine(b, x, { scale: 3 }) };
  });
  const gradients = differentiate(graph, { outputs: ['square', 'triple'], withRespectTo: ['x'] });
  const executable = await referenceBackend.compile(gradients, memoryWeights(new Map()));
  const results = await executable.run({
    x: f32([2], [1, 2]),
    'outputGradient:square': f32([2], [1, 10]),
    'outputGradient:triple': f32([2], [1, 100]),
  });
  assert.deepEqual([...results['gradient:x'].data], [2 * 1 + 3, 4 * 10 + 300]);
});

test('a parameter that the loss does not depend on has a gradient of zeros', async () => {
  const graph = graphOf((b) => ({
    loss: total(b, b.parameter('w', [2])),
    z: b.parameter('z', [3]),
  }));
  const gradients = differentiate(graph, { loss: 'loss', withRespectTo: ['z', 'w'] });
  const results = await interpret(gradients, randomSources(gradients));
  assert.deepEqual(results['gradient:z'].data, new Float64Array(3));
  assert.deepEqual(results['gradient:w'].data, Float64Array.of(1, 1));
});

test('gradients have the dtypes of what they belong to', () => {
  const graph = graphOf((b) => {
    const x = ops.cast(b, b.parameter('x', [2, 3], 'f32'), 'bf16');
    const y = ops.linear(b, x, b.parameter('w', [4, 3], 'bf16'), b.parameter('bias', [4], 'f32'));
    return { loss: total(b, ops.cast(b, y, 'f32')) };
  });
  const { outputs } = differentiate(graph, { loss: 'loss', withRespectTo: ['x', 'w', 'bias'] });
  const dtypes = Object.values(outputs).map(({ dtype }) => dtype);
  assert.deepEqual(dtypes, ['f32', 'f32', 'bf16', 'f32']);
});

test('an op without a rule off the way does not matter', async () => {
  const graph = graphOf((b) => {
    const t = b.input('t', 'f32', [1]);
    const w = b.parameter('w', [1, 4]);
    const attributes = { dim: 4, flipSinToCos: true, freqShift: 0, maxPeriod: 10000 };
    const y = ops.mul(b, ops.timestepEmbedding(b, t, attributes), w);
    return { loss: total(b, y), range: observe(b, w).range };
  });
  const gradients = differentiate(graph, { loss: 'loss', withRespectTo: ['w'] });
  await checkGradients(graph, gradients, ['w']);
});

test('an op without a rule on the way is an error that names it', () => {
  const graph = graphOf((b) => {
    const x = b.input('x', 'f32', [2, 4]);
    return { loss: b.scope('stats', () => total(b, observe(b, x).sums)) };
  });
  assert.throws(() => differentiate(graph, { loss: 'loss', withRespectTo: ['x'] }), {
    code: 'unsupported',
    message: /node 0 \(observe in stats\): It has no gradient rule/,
  });
});

const FUSIBLE: Record<string, (b: GraphBuilder, x: Value) => Value> = {
  conv2d: (b, x) => {
    const upsampled = ops.upsampleNearest(b, x, { height: 8, width: 8 });
    return ops.conv2d(b, upsampled, b.parameter('weight', [4, 4, 3, 3]));
  },
  linear: (b, x) => ops.gelu(b, ops.linear(b, x, b.parameter('weight', [4, 4]))),
  groupNorm: (b, x) => {
    const ones = b.parameter('ones', [4]);
    return ops.silu(b, ops.groupNorm(b, x, ones, ones, { groups: 2, eps: 1e-5 }));
  },
};

for (const [op, build] of Object.entries(FUSIBLE)) {
  test(`a fused ${op} is refused`, () => {
    const graph = graphOf((b) => ({ y: build(b, b.input('x', 'f32', [1, 4, 4, 4])) }));
    const fused = runPasses(graph, inferencePasses('f32'));
    differentiate(graph, { outputs: ['y'], withRespectTo: ['x'] });
    assert.throws(() => differentiate(fused, { outputs: ['y'], withRespectTo: ['x'] }), {
      code: 'unsupported',
      message: new RegExp(`\\(${op}\\): Its fused form has no gradient rule; differentiate the`),
    });
  });
}

test('a quantized result is refused', () => {
  const graph = graphOf((b) => {
    const x = b.input('x', 'f32', [2]);
    const codes = b.apply('cast', { x }, { dtype: 'u8', quantize: [0.1, 3] })[0];
    return { loss: total(b, ops.cast(b, codes, 'f32')) };
  });
  assert.throws(() => differentiate(graph, { loss: 'loss', withRespectTo: ['x'] }), {
    code: 'unsupported',
    message: /\(cast\): Rounding to codes has no gradient/,
  });
});

test('names that are unknown or have no gradient are refused', () => {
  const graph = graphOf((b) => {
    const ids = b.input('ids', 's32', [2]);
    return { y: ops.embedding(b, ids, b.parameter('table', [3, 2])), ids };
  });
  const refused = (options: Parameters<typeof differentiate>[1], message: RegExp) =>
    assert.throws(() => differentiate(graph, options), { code: 'invalid-argument', message });
  refused({ loss: 'y', withRespectTo: ['table'] }, /loss y must have a single element/);
  refused({ loss: 'z', withRespectTo: ['table'] }, /no output named z; it has y, ids/);
  refused({ outputs: ['ids'], withRespectTo: ['table'] }, /ids is s32/);
  refused({ outputs: ['y'], withRespectTo: ['ids'] }, /ids is s32/);
  refused({ outputs: ['y'], withRespectTo: ['rows'] }, /no parameter or input named rows/);
});
