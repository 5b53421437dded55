import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertEquivalent, graphOf, opsOf } from '../../test/support/graphs.ts';
import * as ops from '../ir/ops/index.ts';
import { commonSubexpressions } from './common-subexpressions.ts';
import { deadCode } from './dead-code.ts';
import { simplifyViews } from './simplify-views.ts';

test('nodes and parameters that no output needs go, inputs stay', async () => {
  const graph = graphOf((b) => {
    const x = b.input('x', 'f32', [2, 3]);
    const unused = b.input('unused', 'f32', [1]);
    ops.mul(b, ops.exp(b, x), b.parameter('forgotten', [3]));
    ops.silu(b, unused);
    return { y: ops.add(b, x, b.parameter('bias', [3])) };
  });
  const result = deadCode.run(graph);
  await assertEquivalent(result, graph);
  assert.deepEqual(opsOf(result), ['add']);
  assert.deepEqual([...result.parameters.keys()], ['bias']);
  assert.equal(graph.nodes.length, 4, 'the graph passed in does not change');
});

test('equal nodes are computed once, transitively', async () => {
  const graph = graphOf((b) => {
    const x = b.input('x', 'f32', [2, 3]);
    const square = () => ops.mul(b, ops.silu(b, x), ops.silu(b, x));
    return { y: ops.sub(b, square(), ops.exp(b, square())) };
  });
  const result = commonSubexpressions.run(graph);
  await assertEquivalent(result, graph);
  assert.deepEqual(opsOf(result), ['silu', 'mul', 'exp', 'sub']);
});

test('nodes that differ in an attribute or in operand order are kept', async () => {
  const graph = graphOf((b) => {
    const x = b.input('x', 'f32', [2, 3]);
    const y = ops.affine(b, x, { scale: 2 });
    const z = ops.affine(b, x, { offset: 2 });
    return { y: ops.div(b, ops.sub(b, y, z), ops.sub(b, z, y)) };
  });
  const result = commonSubexpressions.run(graph);
  await assertEquivalent(result, graph);
  assert.equal(result.nodes.length, graph.nodes.length);
});

test('of a chain of reshapes the last counts, and none to the first shape', async () => {
  const graph = graphOf((b) => {
    const x = b.input('x', 'f32', [2, 3, 4]);
    const tokens = ops.reshape(b, ops.reshape(b, x, [24]), [6, 4]);
    const back = ops.reshape(b, ops.reshape(b, tokens, [4, 6]), [2, 3, 4]);
    return { tokens, y: ops.add(b, back, x), back };
  });
  const result = simplifyViews.run(graph);
  await assertEquivalent(result, graph);
  assert.deepEqual(opsOf(result), ['reshape', 'add']);
  assert.equal(result.outputs.back, result.inputs.x);
});
