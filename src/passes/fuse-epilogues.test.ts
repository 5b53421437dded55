import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertEquivalent, graphOf, opsOf } from '../../test/support/graphs.ts';
import type { Graph, Value } from '../ir/graph.ts';
import type { GraphBuilder } from '../ir/graph-builder.ts';
import * as ops from '../ir/ops/index.ts';
import { fuseEpilogues } from './fuse-epilogues.ts';

function conv(b: GraphBuilder, x: Value, channels: number, name: string): Value {
  return b.scope(name, () => {
    const weight = b.parameter('weight', [channels, x.shape[3], 3, 3]);
    return ops.conv2d(b, x, weight, b.parameter('bias', [channels]), { padding: 1 });
  });
}

function linear(b: GraphBuilder, x: Value, channels: number, name: string): Value {
  return b.scope(name, () => {
    const weight = b.parameter('weight', [channels, x.shape[x.shape.length - 1]]);
    return ops.linear(b, x, weight, b.parameter('bias', [channels]));
  });
}

const image = (b: GraphBuilder, batch = 2) => b.input('x', 'f32', [batch, 4, 3, 6]);

async function fuse(graph: Graph): Promise<Graph> {
  const fused = fuseEpilogues.run(graph);
  await assertEquivalent(fused, graph);
  return fused;
}

test('a whole residual block tail becomes one convolution', async () => {
  const fused = await fuse(
    graphOf((b) => {
      const x = image(b);
      const time = linear(b, b.input('time', 'f32', [2, 5]), 6, 'time');
      const h = ops.add(b, conv(b, x, 6, 'conv1'), ops.reshape(b, time, [2, 1, 1, 6]));
      const sum = ops.add(b, x, conv(b, ops.silu(b, h), 6, 'conv2'));
      return { y: ops.affine(b, sum, { scale: 0.5 }) };
    }),
  );
  assert.deepEqual(opsOf(fused), ['linear', 'conv2d', 'conv2d']);
  const [, first, second] = fused.nodes;
  assert.equal(first.attributes.activation, 'silu');
  assert.ok(first.inputs.rowBias);
  assert.equal(first.scope, 'conv1');
  assert.equal(second.inputs.residual, fused.inputs.x);
  assert.equal(second.attributes.outputScale, 0.5);
});

test('of two convolutions that are added, the later takes the other as its residual', async () => {
  const fused = await fuse(
    graphOf((b) => {
      const x = image(b);
      return { y: ops.add(b, conv(b, x, 6, 'shortcut'), conv(b, x, 6, 'conv')) };
    }),
  );
  assert.deepEqual(
    fused.nodes.map((node) => [node.scope, 'residual' in node.inputs]),
    [
      ['shortcut', false],
      ['conv', true],
    ],
  );
});

const { geglu, gelu, quickGelu, silu } = ops;
for (const [activation, build] of Object.entries({ geglu, gelu, quickGelu, silu })) {
  test(`linear → ${activation} becomes one node`, async () => {
    const fused = await fuse(
      graphOf((b) => {
        const y = linear(b, b.input('x', 'f32', [2, 3, 5]), 8, 'up');
        return { y: build(b, y) };
      }),
    );
    assert.deepEqual(opsOf(fused), ['linear']);
    assert.equal(fused.nodes[0].attributes.activation, activation);
  });
}

test('a residual after geglu has the halved shape', async () => {
  const fused = await fuse(
    graphOf((b) => {
      const x = b.input('x', 'f32', [2, 3, 4]);
      return { y: ops.add(b, ops.geglu(b, linear(b, x, 8, 'up')), x) };
    }),
  );
  assert.deepEqual(opsOf(fused), ['linear']);
});

test('a residual is taken through the reshape from tokens to an image', async () => {
  const fused = await fuse(
    graphOf((b) => {
      const x = image(b);
      const tokens = linear(b, ops.reshape(b, x, [2, 12, 6]), 6, 'proj_out');
      return { y: ops.add(b, ops.reshape(b, tokens, [2, 4, 3, 6]), x) };
    }),
  );
  assert.ok(!opsOf(fused).includes('add'));
  assert.ok(fused.nodes.some((node) => node.op === 'linear' && node.inputs.residual));
});

test('a row bias reaches a batch of one and three-dimensional tokens', async () => {
  const fused = await fuse(
    graphOf((b) => {
      const tokens = linear(b, b.input('x', 'f32', [1, 3, 5]), 6, 'proj');
      return { y: ops.add(b, b.input('rows', 'f32', [1, 1, 6]), tokens) };
    }),
  );
  assert.deepEqual(opsOf(fused), ['reshape', 'linear']);
  assert.ok(fused.nodes[1].inputs.rowBias);
});

const NEAR_MISSES: Record<string, (b: GraphBuilder) => Record<string, Value>> = {
  'the convolution is a graph output too': (b) => {
    const h = conv(b, image(b), 6, 'conv');
    return { h, y: ops.silu(b, h) };
  },
  'two nodes read the convolution': (b) => {
    const h = conv(b, image(b), 6, 'conv');
    return { y: ops.mul(b, ops.silu(b, h), ops.gelu(b, h)) };
  },
  'the convolution is added to itself': (b) => {
    const h = conv(b, image(b), 6, 'conv');
    return { y: ops.add(b, h, h) };
  },
  'the other operand differs by column, not by batch row': (b) => ({
    y: ops.add(b, conv(b, image(b), 6, 'conv'), b.input('columns', 'f32', [1, 1, 3, 6])),
  }),
  'one row serves a batch of two': (b) => ({
    y: ops.add(b, conv(b, image(b), 6, 'conv'), b.input('row', 'f32', [1, 1, 1, 6])),
  }),
  'the convolution itself is broadcast': (b) => ({
    y: ops.add(b, conv(b, image(b, 1), 6, 'conv'), b.input('batch', 'f32', [2, 4, 3, 6])),
  }),
  'an offset is added': (b) => ({
    y: ops.affine(b, conv(b, image(b), 6, 'conv'), { scale: 2, offset: 1 }),
  }),
  'the reshape in between changes the channels': (b) => ({
    y: ops.geglu(b, ops.reshape(b, conv(b, image(b), 6, 'conv'), [2, 4, 9, 2])),
  }),
  'the activation is not one that kernels fuse': (b) => ({
    y: ops.tanh(b, conv(b, image(b), 6, 'conv')),
  }),
};

for (const [reason, build] of Object.entries(NEAR_MISSES)) {
  test(`nothing is fused when ${reason}`, async () => {
    const graph = graphOf(build);
    assert.deepEqual(opsOf(await fuse(graph)), opsOf(graph));
  });
}

test('an activation after a residual or a scale stays a node of its own', async () => {
  const afterResidual = graphOf((b) => {
    const x = image(b);
    return { y: ops.silu(b, ops.add(b, conv(b, x, 6, 'conv'), x)) };
  });
  assert.deepEqual(opsOf(await fuse(afterResidual)), ['conv2d', 'silu']);
  const afterScale = graphOf((b) => ({
    y: ops.silu(b, ops.affine(b, conv(b, image(b), 6, 'conv'), { scale: 3 })),
  }));
  assert.deepEqual(opsOf(await fuse(afterScale)), ['conv2d', 'silu']);
});

test('a second residual stays an addition', async () => {
  const fused = await fuse(
    graphOf((b) => {
      const x = image(b);
      const once = ops.add(b, conv(b, x, 6, 'conv'), x);
      return { y: ops.add(b, once, b.input('more', 'f32', x.shape)) };
    }),
  );
  assert.deepEqual(opsOf(fused), ['conv2d', 'add']);
});
