import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertEquivalent, graphOf, opsOf } from '../../test/support/graphs.ts';
import type { Graph, Value } from '../ir/graph.ts';
import type { GraphBuilder } from '../ir/graph-builder.ts';
import * as ops from '../ir/ops/index.ts';
import { fuseGroupNorm } from './fuse-group-norm.ts';
import { fuseSkipConcat } from './fuse-skip-concat.ts';
import { fuseUpsample } from './fuse-upsample.ts';
import type { Pass } from './pass.ts';

const image = (b: GraphBuilder, name: string, channels: number) =>
  b.input(name, 'f32', [2, 4, 3, channels]);

function conv(b: GraphBuilder, x: Value, name = 'conv'): Value {
  return ops.conv2d(b, x, b.parameter(name, [4, x.shape[3], 3, 3]), undefined, { padding: 1 });
}

function norm(b: GraphBuilder, x: Value): Value {
  const channels = x.shape[x.shape.length - 1];
  const [gamma, beta] = [b.parameter('gamma', [channels]), b.parameter('beta', [channels])];
  return ops.groupNorm(b, x, gamma, beta, { groups: 2, eps: 1e-5 });
}

async function apply(pass: Pass, graph: Graph): Promise<Graph> {
  const result = pass.run(graph);
  await assertEquivalent(result, graph);
  return result;
}

async function assertUntouched(pass: Pass, build: (b: GraphBuilder) => Record<string, Value>) {
  const graph = graphOf(build);
  assert.deepEqual(opsOf(await apply(pass, graph)), opsOf(graph));
}

test('norm, convolution and projection read both halves of a skip concatenation', async () => {
  const fused = await apply(
    fuseSkipConcat,
    graphOf((b) => {
      // 6 + 4 channels in 2 groups: the first group ends inside x.
      const joined = ops.concat(b, image(b, 'x', 6), image(b, 'skip', 4));
      const weight = b.parameter('linear', [4, 10]);
      return { n: norm(b, joined), c: conv(b, joined), l: ops.linear(b, joined, weight) };
    }),
  );
  assert.deepEqual(opsOf(fused), ['groupNorm', 'conv2d', 'linear']);
  for (const { inputs } of fused.nodes) {
    assert.equal(inputs.x, fused.inputs.x);
    assert.equal(inputs.skip, fused.inputs.skip);
  }
});

test('a concatenation stays when somebody else reads it', () =>
  assertUntouched(fuseSkipConcat, (b) => {
    const joined = ops.concat(b, image(b, 'x', 6), image(b, 'skip', 4));
    return { n: norm(b, joined), s: ops.silu(b, joined) };
  }));

test('a concatenation stays when it is a graph output', () =>
  assertUntouched(fuseSkipConcat, (b) => {
    const joined = ops.concat(b, image(b, 'x', 6), image(b, 'skip', 4));
    return { n: norm(b, joined), joined };
  }));

test('a concatenation stays when it is on another axis', () =>
  assertUntouched(fuseSkipConcat, (b) => {
    const joined = ops.concat(b, image(b, 'x', 4), image(b, 'below', 4), { axis: 1 });
    return { n: norm(b, joined) };
  }));

test('a concatenation stays when a convolution reads it as its residual', async () => {
  const graph = graphOf((b) => {
    const joined = ops.concat(b, image(b, 'x', 2), image(b, 'skip', 2));
    const weight = b.parameter('weight', [4, 4, 1, 1]);
    const attributes = {
      activation: 'none',
      outputScale: 1,
      stride: 1,
      padding: [0, 0, 0, 0],
      upsample: 1,
    } as const;
    return { y: b.apply('conv2d', { x: joined, weight, residual: joined }, attributes)[0] };
  });
  assert.deepEqual(opsOf(await apply(fuseSkipConcat, graph)), ['concat', 'conv2d']);
});

test('of three concatenated images, two are joined and the third is the second source', async () => {
  const fused = await apply(
    fuseSkipConcat,
    graphOf((b) => {
      const two = ops.concat(b, image(b, 'x', 2), image(b, 'y', 2));
      return { c: conv(b, ops.concat(b, two, image(b, 'z', 2))) };
    }),
  );
  assert.deepEqual(opsOf(fused), ['concat', 'conv2d']);
});

test('upsampling by 2 disappears into the convolutions that read it', async () => {
  const fused = await apply(
    fuseUpsample,
    graphOf((b) => {
      const large = ops.upsampleNearest(b, image(b, 'x', 6), { height: 8, width: 6 });
      return { one: conv(b, large, 'one'), two: conv(b, large, 'two') };
    }),
  );
  assert.deepEqual(opsOf(fused), ['conv2d', 'conv2d']);
  assert.ok(fused.nodes.every((node) => node.attributes.upsample === 2));
});

for (const [height, width] of [
  [7, 6],
  [8, 5],
  [12, 9],
]) {
  test(`upsampling 4×3 to ${height}×${width} stays`, () =>
    assertUntouched(fuseUpsample, (b) => ({
      y: conv(b, ops.upsampleNearest(b, image(b, 'x', 6), { height, width })),
    })));
}

test('upsampling stays when its image is needed elsewhere', () =>
  assertUntouched(fuseUpsample, (b) => {
    const large = ops.upsampleNearest(b, image(b, 'x', 4), { height: 8, width: 6 });
    return { y: ops.add(b, conv(b, large), large) };
  }));

test('upsampling twice by 2 leaves one upsampling', async () => {
  const fused = await apply(
    fuseUpsample,
    graphOf((b) => {
      const twice = ops.upsampleNearest(b, image(b, 'x', 4), { height: 8, width: 6 });
      return { y: conv(b, ops.upsampleNearest(b, twice, { height: 16, width: 12 })) };
    }),
  );
  assert.deepEqual(opsOf(fused), ['upsampleNearest', 'conv2d']);
});

test('groupNorm → silu becomes one node', async () => {
  const fused = await apply(
    fuseGroupNorm,
    graphOf((b) => ({ y: ops.silu(b, norm(b, image(b, 'x', 6))) })),
  );
  assert.deepEqual(opsOf(fused), ['groupNorm']);
  assert.equal(fused.nodes[0].attributes.activation, 'silu');
});

test('a second silu stays a node of its own', async () => {
  const graph = graphOf((b) => ({ y: ops.silu(b, ops.silu(b, norm(b, image(b, 'x', 6)))) }));
  assert.deepEqual(opsOf(await apply(fuseGroupNorm, graph)), ['groupNorm', 'silu']);
});

test('groupNorm and silu stay apart when the norm itself is needed', () =>
  assertUntouched(fuseGroupNorm, (b) => {
    const normed = norm(b, image(b, 'x', 6));
    return { normed, y: ops.silu(b, normed) };
  }));

test('groupNorm → gelu stays', () =>
  assertUntouched(fuseGroupNorm, (b) => ({ y: ops.gelu(b, norm(b, image(b, 'x', 6))) })));
