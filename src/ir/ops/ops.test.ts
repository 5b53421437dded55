import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { graphOf, opsOf } from '../../../test/support/graphs.ts';
import type { DType } from '../../core/dtype.ts';
import type { Shape } from '../../core/shape.ts';
import { interpret } from '../../runtime/reference/interpret.ts';
import type { Attributes, Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import type { NumericArray } from '../op.ts';
import { flopsOf, type OpName, opTable } from '../op-table.ts';
import { attentionGradient } from './attention-gradient.ts';
import { conv2dInputGradient } from './conv2d-input-gradient.ts';
import { conv2dWeightGradient } from './conv2d-weight-gradient.ts';
import * as ops from './index.ts';

interface GoldenArray {
  shape: number[];
  data: number[];
}

interface GoldenCase {
  op: OpName;
  inputs: Record<string, GoldenArray>;
  attributes: Attributes;
  outputs: GoldenArray[];
}

const GOLDEN = new URL('../../../test/golden/ops/ops.json', import.meta.url);
const cases: GoldenCase[] = JSON.parse(readFileSync(GOLDEN, 'utf8'));

/** Ops that only move numbers or need no oracle; the tests below or of their own cover them. */
const WITHOUT_ORACLE: readonly OpName[] = [
  'affine',
  'broadcast',
  'cast',
  'fakeQuantize',
  'fakeQuantizeGradient',
  'fakeQuantizeScaleGradient',
  'observe',
  'reshape',
];

for (const [i, { op, inputs, attributes, outputs }] of cases.entries()) {
  test(`case ${i}: ${op} agrees with PyTorch`, async () => {
    const arrays = new Map<Value, NumericArray>();
    const graph = graphOf((b) => {
      const values: Record<string, Value> = {};
      for (const [name, { shape, data }] of Object.entries(inputs)) {
        values[name] = b.input(name, name === 'ids' ? 's32' : 'f32', shape);
        arrays.set(values[name], { shape, data: Float64Array.from(data) });
      }
      return Object.fromEntries(b.applyAny(op, values, attributes).entries());
    });
    const results = await interpret(graph, (value) => arrays.get(value)!);
    assert.equal(Object.keys(results).length, outputs.length);
    const tolerance = op === 'timestepEmbedding' ? 1e-7 : 1e-9;
    for (const [index, output] of outputs.entries()) {
      const { shape, data } = results[index];
      assert.deepEqual(shape, output.shape);
      for (const [n, expected] of output.data.entries()) {
        const allowed = tolerance * Math.max(1, Math.abs(expected));
        assert.ok(Math.abs(data[n] - expected) <= allowed, `[${n}]: ${data[n]} ≠ ${expected}`);
      }
    }
  });
}

test('every op has a golden case, or needs none', () => {
  const covered = new Set([...cases.map(({ op }) => op), ...WITHOUT_ORACLE]);
  assert.deepEqual([...covered].sort(), Object.keys(opTable).sort());
});

test('ops bear the names they have in the table', () => {
  for (const [name, definition] of Object.entries(opTable)) assert.equal(definition.name, name);
});

test('affine scales and shifts, broadcast repeats', async () => {
  const graph = graphOf((b) => {
    const x = b.input('x', 'f32', [2, 1]);
    const y = ops.affine(b, x, { scale: 3, offset: -1 });
    return { y: ops.broadcast(b, ops.cast(b, ops.reshape(b, y, [1, 2]), 'bf16'), [2, 2, 2]) };
  });
  const { y } = await interpret(graph, () => ({ shape: [2, 1], data: Float64Array.of(1, 2) }));
  assert.deepEqual([...y.data], [2, 5, 2, 5, 2, 5, 2, 5]);
  assert.equal(graph.outputs.y.dtype, 'bf16');
});

test('a cast to the dtype that is there adds no node', () => {
  assert.deepEqual(
    opsOf(graphOf((b) => ({ y: ops.cast(b, b.input('x', 'f32', [1]), 'f32') }))),
    [],
  );
});

test('flops count a multiply-add as two', () => {
  const graph = graphOf((b) => {
    const x = b.input('x', 'f32', [2, 8, 8, 4]);
    const y = ops.conv2d(b, x, b.parameter('c', [6, 4, 3, 3]), undefined, {
      padding: 1,
      stride: 2,
    });
    const tokens = ops.linear(b, ops.reshape(b, y, [2, 16, 6]), b.parameter('l', [12, 6]));
    const seen = ops.attention(b, tokens, tokens, tokens, { heads: 3, causal: true });
    const full = ops.attention(b, tokens, tokens, tokens, { heads: 3 });
    return { y: ops.matmul(b, seen, full, { transposeB: true }) };
  });
  assert.deepEqual(graph.nodes.map(flopsOf), [
    2 * 2 * 16 * 6 * 4 * 9,
    0,
    2 * 2 * 16 * 12 * 6,
    4 * 2 * 136 * 12,
    4 * 2 * 256 * 12,
    2 * 2 * 16 * 16 * 12,
  ]);
});

test('gradients of convolution cost what it costs, those of attention five products', () => {
  const graph = graphOf((b) => {
    const x = b.input('x', 'f32', [2, 8, 8, 4]);
    const weight = b.parameter('c', [6, 4, 3, 3]);
    const y = ops.conv2d(b, x, weight, undefined, { padding: 1, stride: 2 });
    const geometry = { stride: 2, padding: [1, 1, 1, 1] } as const;
    const dx = conv2dInputGradient(b, y, weight, { ...geometry, height: 8, width: 8 });
    const dw = conv2dWeightGradient(b, x, y, { ...geometry, kernelHeight: 3, kernelWidth: 3 });
    const q = b.input('q', 'f32', [2, 16, 6]);
    const all = { q, k: q, v: q, output: q, gradient: q };
    const form = { heads: 3, scale: 1 };
    const full = attentionGradient(b, all, { ...form, causal: false });
    const causal = attentionGradient(b, all, { ...form, causal: true });
    return { dx, dw, full: full.q, causal: causal.q };
  });
  const convolution = 2 * 2 * 16 * 6 * 4 * 9;
  assert.deepEqual(graph.nodes.map(flopsOf), [
    convolution,
    convolution,
    convolution,
    10 * 2 * 256 * 6,
    10 * 2 * 136 * 6,
  ]);
});

type Refusal = [reason: string, message: RegExp, build: (at: Sources) => Value];
interface Sources {
  b: GraphBuilder;
  value: (shape: Shape, dtype?: DType) => Value;
}

const REFUSALS: Refusal[] = [
  [
    'shapes do not broadcast',
    /\[2, 3\] and \[2\]/,
    ({ b, value }) => ops.add(b, value([2, 3]), value([2])),
  ],
  [
    'dtypes differ',
    /bf16 beside f32/,
    ({ b, value }) => ops.mul(b, value([2]), value([2], 'bf16')),
  ],
  ['numbers are not floating', /s32/, ({ b, value }) => ops.silu(b, value([2], 's32'))],
  [
    'channels of a convolution differ',
    /must be \[4, 8, 3, 3\]/,
    ({ b, value }) => ops.conv2d(b, value([1, 4, 4, 8]), value([4, 7, 3, 3])),
  ],
  [
    'a kernel is larger than its image',
    /does not fit/,
    ({ b, value }) => ops.conv2d(b, value([1, 2, 2, 8]), value([4, 8, 3, 3])),
  ],
  [
    'a bias has the wrong length',
    /Operand bias/,
    ({ b, value }) => ops.linear(b, value([2, 3]), value([4, 3]), value([3])),
  ],
  [
    'padding is negative',
    /padding is -1/,
    ({ b, value }) =>
      ops.conv2d(b, value([1, 4, 4, 8]), value([4, 8, 3, 3]), undefined, { padding: -1 }),
  ],
  [
    'groups do not divide the channels',
    /6 channels .* 4 equal groups/,
    ({ b, value }) =>
      ops.groupNorm(b, value([1, 6]), value([6]), value([6]), { groups: 4, eps: 0 }),
  ],
  [
    'heads do not divide the channels',
    /6 channels .* 4 equal heads/,
    ({ b, value }) =>
      ops.attention(b, value([1, 2, 6]), value([1, 2, 6]), value([1, 2, 6]), { heads: 4 }),
  ],
  [
    'causal attention has more keys than queries',
    /Operand k/,
    ({ b, value }) =>
      ops.attention(b, value([1, 2, 6]), value([1, 3, 6]), value([1, 3, 6]), {
        heads: 2,
        causal: true,
      }),
  ],
  [
    'the gradient of a convolution does not fit its source',
    /Operand gradient .* must be \[1, 3, 2, 4\]/,
    ({ b, value }) =>
      conv2dInputGradient(b, value([1, 2, 2, 4]), value([4, 8, 3, 3]), {
        stride: 2,
        padding: [1, 1, 1, 1],
        height: 5,
        width: 4,
      }),
  ],
  ['geglu has an odd number of channels', /even/, ({ b, value }) => ops.geglu(b, value([1, 5]))],
  [
    'a reshape changes the element count',
    /element counts/,
    ({ b, value }) => ops.reshape(b, value([2, 3]), [5]),
  ],
  [
    'a slice reaches beyond the end',
    /length is 3/,
    ({ b, value }) => ops.slice(b, value([4]), { axis: 0, start: 2, length: 3 }),
  ],
  [
    'a permutation repeats an axis',
    /each of the 2 axes/,
    ({ b, value }) => ops.permute(b, value([2, 3]), [0, 0]),
  ],
  [
    'concatenated shapes differ elsewhere',
    /beyond axis 1/,
    ({ b, value }) => ops.concat(b, value([2, 3]), value([3, 3])),
  ],
  [
    'inner extents of a product differ',
    /do not multiply/,
    ({ b, value }) => ops.matmul(b, value([2, 3]), value([2, 3])),
  ],
  ['ids are not s32', /must be s32/, ({ b, value }) => ops.embedding(b, value([2]), value([5, 3]))],
  [
    'timesteps are not f32',
    /must be f32/,
    ({ b, value }) =>
      ops.timestepEmbedding(b, value([2], 'bf16'), {
        dim: 4,
        flipSinToCos: true,
        freqShift: 0,
        maxPeriod: 1e4,
      }),
  ],
  [
    'a cast has an integer target',
    /makes floating types and u8/,
    ({ b, value }) => ops.cast(b, value([2]), 's8'),
  ],
  [
    'an axis is summed twice',
    /distinct/,
    ({ b, value }) => ops.sum(b, value([2, 3]), { axes: [1, -1] }),
  ],
];

for (const [reason, message, build] of REFUSALS) {
  test(`an error says so when ${reason}`, () => {
    const refused = () =>
      graphOf((b) => {
        let count = 0;
        const value = (shape: Shape, dtype: DType = 'f32') => b.input(`in${count++}`, dtype, shape);
        return { y: b.scope('block.0', () => build({ b, value })) };
      });
    assert.throws(refused, (error: Error & { code?: string }) => {
      assert.equal(error.code, 'invalid-graph');
      assert.match(error.message, message);
      assert.match(error.message, /^\w+ in test\.block\.0: /);
      return true;
    });
  });
}

test('an id outside the table is an error that names it', async () => {
  const graph = graphOf((b) => ({
    y: ops.embedding(b, b.input('ids', 's32', [1]), b.parameter('table', [3, 2])),
  }));
  const sourceOf = ({ shape }: Value) => ({ shape, data: new Float64Array(6).fill(3) });
  await assert.rejects(interpret(graph, sourceOf), { code: 'invalid-argument', message: /Id 3 / });
});
