import assert from 'node:assert/strict';
import { test } from 'node:test';
import { graphOf, randomArray, randomSources, relativeError } from '../../test/support/graphs.ts';
import type { Graph, Value } from '../ir/graph.ts';
import type { GraphBuilder } from '../ir/graph-builder.ts';
import * as ops from '../ir/ops/index.ts';
import { interpret } from '../runtime/reference/interpret.ts';
import { differentiate } from './differentiate.ts';

type Build = (b: GraphBuilder, x: Value, y: Value) => Value;

/** One case a rule: x and y are [2, 3, 4] and [3, 4] unless reshaped. */
const CASES: Record<string, Build> = {
  add: (b, x, y) => ops.add(b, x, y),
  'add, first operand broadcast': (b, x, y) => ops.add(b, y, x),
  sub: (b, x, y) => ops.sub(b, y, x),
  mul: (b, x, y) => ops.mul(b, x, y),
  'mul with itself': (b, x) => ops.mul(b, x, x),
  'mul, extent 1 inside': (b, x, y) =>
    ops.mul(b, x, ops.slice(b, y, { axis: 1, start: 1, length: 1 })),
  div: (b, x, y) => ops.div(b, x, ops.affine(b, y, { offset: 3 })),
  affine: (b, x) => ops.affine(b, x, { scale: -2, offset: 1 }),
  sigmoid: (b, x) => ops.sigmoid(b, x),
  tanh: (b, x) => ops.tanh(b, x),
  exp: (b, x) => ops.exp(b, x),
  erf: (b, x) => ops.erf(b, x),
  silu: (b, x) => ops.silu(b, x),
  gelu: (b, x) => ops.gelu(b, x),
  geluTanh: (b, x) => ops.geluTanh(b, x),
  quickGelu: (b, x) => ops.quickGelu(b, x),
  geglu: (b, x) => ops.geglu(b, x),
  softmax: (b, x) => ops.softmax(b, x),
  reshape: (b, x) => ops.reshape(b, x, [6, 4]),
  permute: (b, x) => ops.permute(b, x, [2, 0, 1]),
  slice: (b, x) => ops.slice(b, x, { axis: 1, start: 1, length: 2 }),
  pad: (b, x) => ops.pad(b, x, { axis: 1, before: 2, after: 1 }),
  'concat of both': (b, x, y) => ops.concat(b, x, ops.reshape(b, y, [1, 3, 4]), { axis: 0 }),
  'sum, axes kept': (b, x) => ops.mul(b, x, ops.sum(b, x, { axes: [1], keep: true })),
  'sum, axes dropped': (b, x) => ops.sum(b, x, { axes: [0, -1] }),
  broadcast: (b, _x, y) => ops.broadcast(b, y, [2, 3, 4]),
  cast: (b, x) => ops.cast(b, ops.cast(b, x, 'bf16'), 'f32'),
  matmul: (b, x, y) => ops.matmul(b, x, ops.broadcast(b, ops.reshape(b, y, [4, 3]), [2, 4, 3])),
  'matmul, b transposed': (b, x, y) =>
    ops.matmul(b, x, ops.broadcast(b, y, [2, 3, 4]), { transposeB: true }),
  'linear with bias': (b, x, y) =>
    ops.linear(b, x, y, ops.reshape(b, ops.slice(b, y, { axis: 1, start: 0, length: 1 }), [3])),
  upsampleNearest: (b, x) =>
    ops.upsampleNearest(b, ops.reshape(b, x, [2, 3, 2, 2]), { height: 6, width: 6 }),
};

/** A loss that weighs every element of `build`'s result differently. */
function lossGraph(build: Build): Graph {
  return graphOf((b) => {
    const x = b.input('x', 'f32', [2, 3, 4]);
    const y = b.parameter('y', [3, 4]);
    const result = build(b, x, y);
    const weighted = ops.mul(b, result, b.parameter('weights', result.shape));
    return { loss: ops.sum(b, weighted, { axes: result.shape.map((_, i) => i) }) };
  });
}

/** Central differences of the loss with respect to every element of `name`. */
async function finiteDifferences(graph: Graph, name: string): Promise<Float64Array> {
  const value = graph.inputs[name] ?? graph.parameters.get(name);
  const base = randomArray(name, value);
  const step = 1e-5;
  const lossAt = async (i: number, change: number) => {
    const data = base.data.slice();
    data[i] += change;
    const sources = randomSources(graph, { [name]: { shape: base.shape, data } });
    return (await interpret(graph, sources)).loss.data[0];
  };
  const result = new Float64Array(base.data.length);
  for (let i = 0; i < result.length; i++) {
    result[i] = ((await lossAt(i, step)) - (await lossAt(i, -step))) / (2 * step);
  }
  return result;
}

for (const [name, build] of Object.entries(CASES)) {
  test(`the gradient of ${name} agrees with finite differences`, async () => {
    const graph = lossGraph(build);
    const wanted = ['x', 'y'].filter((key) => graph.inputs[key] ?? graph.parameters.has(key));
    const gradients = differentiate(graph, { loss: 'loss', withRespectTo: wanted });
    const results = await interpret(gradients, randomSources(gradients));
    for (const key of wanted) {
      const expected = await finiteDifferences(graph, key);
      const actual = results[`gradient:${key}`].data;
      if (expected.every((value) => value === 0)) {
        assert.ok(actual.every((value) => value === 0));
      } else {
        assert.ok(relativeError(actual, expected) < 1e-8, `${key}: ${actual} ≠ ${expected}`);
      }
    }
  });
}

test('an op without a rule on the way is an error that names it', () => {
  const graph = graphOf((b) => {
    const x = b.input('x', 'f32', [2, 4]);
    const ones = b.parameter('ones', [4]);
    const y = b.scope('norm', () => ops.layerNorm(b, x, ones, ones, { eps: 1e-5 }));
    return { loss: ops.sum(b, y, { axes: [0, 1] }) };
  });
  assert.throws(() => differentiate(graph, { loss: 'loss', withRespectTo: ['x'] }), {
    code: 'unsupported',
    message: /layerNorm in norm/,
  });
});

test('an op without a rule off the way does not matter', async () => {
  const graph = graphOf((b) => {
    const t = b.input('t', 'f32', [1]);
    const w = b.parameter('w', [1, 4]);
    const attributes = { dim: 4, flipSinToCos: true, freqShift: 0, maxPeriod: 10000 };
    const y = ops.mul(b, ops.timestepEmbedding(b, t, attributes), w);
    return { loss: ops.sum(b, y, { axes: [0, 1] }) };
  });
  const gradients = differentiate(graph, { loss: 'loss', withRespectTo: ['w'] });
  const results = await interpret(gradients, randomSources(gradients));
  assert.ok(relativeError(results['gradient:w'].data, await finiteDifferences(graph, 'w')) < 1e-8);
});

test('the loss must be one number', () => {
  const graph = graphOf((b) => ({ y: b.input('x', 'f32', [2]) }));
  assert.throws(() => differentiate(graph, { loss: 'y', withRespectTo: ['x'] }), {
    code: 'invalid-argument',
  });
});
