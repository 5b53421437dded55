import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Graph, Node } from './graph.ts';
import { GraphBuilder } from './graph-builder.ts';
import * as ops from './ops/index.ts';
import { print } from './print.ts';
import { verify } from './verify.ts';

/** conv2d → silu in scope 'block.0'. */
function small(): Graph {
  const b = new GraphBuilder('small');
  const x = b.input('x', 'f32', [1, 4, 4, 2]);
  const y = b.scope('block', () =>
    b.scope('0', () => {
      const weight = b.parameter('conv.weight', [3, 2, 3, 3]);
      return ops.silu(b, ops.conv2d(b, x, weight, undefined, { padding: 1 }));
    }),
  );
  b.output('y', y);
  return b.finish();
}

test('parameters have paths relative to the scope, and are declared once', () => {
  const b = new GraphBuilder('g');
  const inside = b.scope('a', () => b.scope('', () => b.parameter('weight', [2])));
  assert.equal(b.parameter('a.weight', [2]), inside);
  assert.throws(() => b.parameter('a.weight', [3]), {
    code: 'invalid-graph',
    message: /a\.weight was declared as f32\[2\]/,
  });
  assert.throws(() => b.parameter('empty', [0]), { code: 'invalid-graph', message: /empty/ });
});

test('a scope ends when its body throws', () => {
  const b = new GraphBuilder('g');
  assert.throws(() =>
    b.scope('a', () => {
      throw new Error('inside');
    }),
  );
  assert.equal(b.currentScope, '');
});

test('inputs and outputs are named once, and a graph has an output', () => {
  const b = new GraphBuilder('g');
  const x = b.input('x', 'f32', [1]);
  assert.throws(() => b.input('x', 'f32', [1]), { code: 'invalid-graph' });
  assert.throws(() => b.finish(), { code: 'invalid-graph', message: /no output/ });
  b.output('y', x);
  assert.throws(() => b.output('y', x), { code: 'invalid-graph' });
});

test('operands must be known and complete', () => {
  const b = new GraphBuilder('g');
  const x = b.input('x', 'f32', [1]);
  assert.throws(() => b.applyAny('add', { a: x }, {}), { message: /Operand b is missing/ });
  assert.throws(() => b.applyAny('silu', { x, y: x }, {}), { message: /the op takes x/ });
});

test('print gives one stable line a node', () => {
  const expected = `graph small
$x: f32[1,4,4,2]
@block.0.conv.weight: f32[3,2,3,3]
%0: f32[1,4,4,3] = conv2d(x=$x, weight=@block.0.conv.weight) {activation=none, outputScale=1, stride=1, padding=[1,1,1,1], upsample=1} # block.0
%1: f32[1,4,4,3] = silu(x=%0) # block.0
return y=%1
`;
  assert.equal(print(small()), expected);
});

/** The graph with one node changed, and its readers left as they are. */
function tampered(change: (node: Node) => Node): Graph {
  const graph = small();
  return { ...graph, nodes: [change(graph.nodes[0]), graph.nodes[1]] };
}

test('verify accepts what the builder makes', () => verify(small()));

test('verify refuses a node that reads what comes later', () => {
  const graph = small();
  assert.throws(() => verify({ ...graph, nodes: graph.nodes.toReversed() }), {
    code: 'invalid-graph',
    message: /silu in block\.0\) reads %2 as x before/,
  });
});

test('verify refuses values of another graph', () => {
  const other = small();
  assert.throws(() => verify({ ...small(), outputs: other.outputs }), {
    message: /Output y .* nothing in this graph defines/,
  });
});

test('verify refuses outputs that the operands do not give', () => {
  const wrong = (node: Node) => {
    const copy = { ...node, outputs: [] as Node['outputs'] };
    copy.outputs = [{ ...node.outputs[0], dtype: 'bf16', node: copy }];
    return copy;
  };
  assert.throws(() => verify(tampered(wrong)), { message: /outputs bf16.* operands give f32/ });
});

test('verify refuses attributes and operands that do not fit', () => {
  const stride = (node: Node) => ({ ...node, attributes: { ...node.attributes, stride: 0 } });
  assert.throws(() => verify(tampered(stride)), { message: /conv2d in block\.0\) is malformed/ });
  const bare = (node: Node) => ({ ...node, inputs: { x: node.inputs.x } });
  assert.throws(() => verify(tampered(bare)), { message: /weight is missing/ });
});

test('verify refuses a node or a value that is there twice', () => {
  const graph = small();
  const [conv, silu] = graph.nodes;
  assert.throws(() => verify({ ...graph, nodes: [conv, conv, silu] }), {
    message: /shares its id/,
  });
  const parameters = new Map([...graph.parameters, ['again', graph.inputs.x]]);
  assert.throws(() => verify({ ...graph, parameters }), { message: /defined once/ });
});
