import assert from 'node:assert/strict';
import { test } from 'node:test';
import { graphOf, opsOf, randomSources, relativeError } from '../../test/support/graphs.ts';
import type { Graph } from '../ir/graph.ts';
import type { NumericArray } from '../ir/op.ts';
import * as ops from '../ir/ops/index.ts';
import { interpret } from '../runtime/reference/interpret.ts';
import { splitOff } from './split-off.ts';

/** x through a layer whose row bias comes from t, attending to a context. */
function conditioned(): Graph {
  return graphOf((b) => {
    const x = b.input('x', 'f32', [2, 5, 4]);
    const t = b.input('t', 'f32', [2, 3]);
    const context = b.input('context', 'f32', [2, 7, 3]);
    const row = ops.linear(b, ops.silu(b, t), b.parameter('time', [4, 3]));
    const h = ops.add(b, x, ops.reshape(b, row, [2, 1, 4]));
    const k = ops.linear(b, context, b.parameter('k', [4, 3]));
    const v = ops.linear(b, context, b.parameter('v', [4, 3]));
    return { y: ops.attention(b, h, k, v, { heads: 2 }), row };
  });
}

async function runSplit(graph: Graph, inputs: readonly string[]) {
  const { prefix, rest } = splitOff(graph, inputs);
  assert.ok(prefix);
  const hoisted: Record<string, NumericArray> = await interpret(prefix, randomSources(prefix));
  const result = await interpret(rest, randomSources(rest, hoisted));
  const expected = await interpret(graph, randomSources(graph));
  assert.deepEqual(Object.keys(result), Object.keys(expected));
  for (const [name, { data }] of Object.entries(expected)) {
    assert.ok(relativeError(result[name].data, data) < 1e-14, name);
  }
  return { prefix, rest };
}

test('what one input alone decides is computed apart', async () => {
  const { prefix, rest } = await runSplit(conditioned(), ['context']);
  assert.deepEqual(opsOf(prefix), ['linear', 'linear']);
  assert.deepEqual([...prefix.parameters.keys()], ['k', 'v']);
  assert.deepEqual(Object.keys(rest.inputs), ['x', 't', 'context.0', 'context.1']);
  assert.deepEqual([...rest.parameters.keys()], ['time']);
});

test('the rest can be split again', async () => {
  const { rest } = await runSplit(conditioned(), ['context']);
  const again = await runSplit(rest, ['t']);
  assert.deepEqual(Object.keys(again.rest.inputs), ['x', 'context.0', 'context.1', 't.0', 't.1']);
});

test('several inputs go together, and an output may come from the prefix', async () => {
  const { prefix, rest } = await runSplit(conditioned(), ['t', 'context']);
  assert.deepEqual(opsOf(prefix), ['silu', 'linear', 'reshape', 'linear', 'linear']);
  assert.deepEqual(opsOf(rest), ['add', 'attention']);
});

test('an input that the rest reads too stays an input of it', async () => {
  const graph = graphOf((b) => {
    const x = b.input('x', 'f32', [3]);
    const t = b.input('t', 'f32', [3]);
    return { y: ops.mul(b, ops.add(b, x, t), ops.exp(b, t)) };
  });
  const { rest } = await runSplit(graph, ['t']);
  assert.deepEqual(Object.keys(rest.inputs), ['x', 't', 't.0']);
});

test('nothing to split off leaves the graph as it is', () => {
  const graph = graphOf((b) => ({
    y: ops.add(b, b.input('x', 'f32', [1]), b.input('t', 'f32', [1])),
  }));
  assert.deepEqual(splitOff(graph, ['t']), { prefix: undefined, rest: graph });
  assert.throws(() => splitOff(graph, ['z']), { code: 'invalid-argument', message: /named z/ });
});
