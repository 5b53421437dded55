import type { Shape } from '../../src/core/shape.ts';
import type { Value } from '../../src/ir/graph.ts';
import type { GraphBuilder } from '../../src/ir/graph-builder.ts';
import type { OpName } from '../../src/ir/op-table.ts';
import * as ops from '../../src/ir/ops/index.ts';

/** Builds a graph over parameters that `p` declares; the gradient of each of them is checked. */
export type BuildCase = (b: GraphBuilder, p: (name: string, shape: Shape) => Value) => Value;

/** The shapes that elementwise and copying ops are tried on. */
const X: Shape = [2, 3, 4];

type Unary = (b: GraphBuilder, x: Value) => Value;
const unary =
  (op: Unary): BuildCase =>
  (b, p) =>
    op(b, p('x', X));

type Binary = (b: GraphBuilder, x: Value, y: Value) => Value;
const binary =
  (op: Binary, shapeOfX: Shape, shapeOfY: Shape): BuildCase =>
  (b, p) =>
    op(b, p('x', shapeOfX), p('y', shapeOfY));
const broadcasting = (op: Binary): Record<string, BuildCase> => ({
  'equal shapes': binary(op, X, X),
  'second operand broadcast': binary(op, X, [3, 4]),
  'first operand broadcast': binary(op, [4], X),
  'extents 1 on both sides': binary(op, [2, 1, 4], [3, 1]),
});

interface ConvCase {
  readonly x: Shape;
  readonly weight: Shape;
  readonly stride?: number;
  readonly padding?: number | readonly [number, number, number, number];
  readonly bias?: boolean;
}

function conv({ x, weight, stride, padding, bias = false }: ConvCase): BuildCase {
  return (b, p) => {
    const offset = bias ? p('bias', [weight[0]]) : undefined;
    return ops.conv2d(b, p('x', x), p('weight', weight), offset, { stride, padding });
  };
}

function groupNorm(shape: Shape, groups: number): BuildCase {
  return (b, p) => {
    const channels = shape.slice(-1);
    const [gamma, beta] = [p('gamma', channels), p('beta', channels)];
    return ops.groupNorm(b, p('x', shape), gamma, beta, { groups, eps: 1e-5 });
  };
}

function layerNorm(shape: Shape): BuildCase {
  return (b, p) => {
    const channels = shape.slice(-1);
    const [gamma, beta] = [p('gamma', channels), p('beta', channels)];
    return ops.layerNorm(b, p('x', shape), gamma, beta, { eps: 1e-5 });
  };
}

interface AttentionCase {
  readonly queries: number;
  readonly keys: number;
  readonly heads: number;
  readonly scale?: number;
  readonly causal?: boolean;
}

function attention({ queries, keys, ...options }: AttentionCase): BuildCase {
  return (b, p) => {
    const [q, k, v] = [p('q', [2, queries, 6]), p('k', [2, keys, 6]), p('v', [2, keys, 6])];
    return ops.attention(b, q, k, v, options);
  };
}

const resample =
  (x: Shape, height: number, width: number) => (b: GraphBuilder, p: Parameters<BuildCase>[1]) =>
    ops.upsampleNearest(b, p('x', x), { height, width });

/** Per op, what its gradient rule is tried on. */
export const OP_CASES: Partial<Record<OpName, Readonly<Record<string, BuildCase>>>> = {
  add: broadcasting(ops.add),
  affine: { plain: unary((b, x) => ops.affine(b, x, { scale: -2, offset: 1 })) },
  attention: {
    'over another context': attention({ queries: 3, keys: 5, heads: 2 }),
    'causal, with its own scale': attention({
      queries: 4,
      keys: 4,
      heads: 3,
      scale: 0.7,
      causal: true,
    }),
    'of one token, one head': attention({ queries: 1, keys: 1, heads: 1 }),
    'to itself': (b, p) => {
      const x = p('x', [1, 4, 4]);
      return ops.attention(b, x, x, x, { heads: 2 });
    },
  },
  broadcast: {
    'new axis': (b, p) => ops.broadcast(b, p('x', [3, 4]), X),
    'axis of extent 1': (b, p) => ops.broadcast(b, p('x', [2, 1, 4]), X),
  },
  cast: { 'there and back': unary((b, x) => ops.cast(b, ops.cast(b, x, 'bf16'), 'f32')) },
  concat: {
    'last axis': binary((b, x, y) => ops.concat(b, x, y), [2, 3], [2, 5]),
    'first axis': binary((b, x, y) => ops.concat(b, x, y, { axis: 0 }), [1, 3], [2, 3]),
  },
  conv2d: {
    '3×3': conv({ x: [2, 4, 3, 2], weight: [3, 2, 3, 3], padding: 1, bias: true }),
    '1×1': conv({ x: [2, 2, 3, 3], weight: [4, 3, 1, 1], bias: true }),
    'stride 2 over odd extents': conv({
      x: [1, 5, 7, 2],
      weight: [3, 2, 3, 3],
      stride: 2,
      padding: 1,
      bias: true,
    }),
    'stride 2 over even extents': conv({
      x: [1, 4, 6, 2],
      weight: [2, 2, 3, 3],
      stride: 2,
      padding: 1,
    }),
    'stride 2, padded below and to the right': conv({
      x: [2, 4, 6, 2],
      weight: [2, 2, 3, 3],
      stride: 2,
      padding: [0, 1, 0, 1],
    }),
    'four different paddings': conv({
      x: [1, 3, 4, 2],
      weight: [2, 2, 2, 3],
      padding: [2, 0, 1, 3],
    }),
    'stride 3 that leaves pixels unread': conv({
      x: [1, 6, 8, 1],
      weight: [2, 1, 2, 2],
      stride: 3,
    }),
    'no padding': conv({ x: [1, 4, 3, 1], weight: [2, 1, 3, 3] }),
  },
  div: broadcasting((b, x, y) => ops.div(b, x, ops.affine(b, y, { offset: 3 }))),
  embedding: {
    'rows read twice and never': (b, p) =>
      ops.embedding(b, b.input('ids', 's32', [2, 3]), p('table', [5, 2])),
  },
  erf: { plain: unary(ops.erf) },
  exp: { plain: unary(ops.exp) },
  fakeQuantize: {
    'beyond the codes, where the gradient is a true one': (b, p) => {
      const steps = ops.affine(b, p('scale', [2]), { scale: 0.001, offset: 0.002 });
      return ops.fakeQuantize(
        b,
        { x: p('x', [2, 3, 4]), scale: steps },
        { lowest: -1, highest: 2 },
      );
    },
  },
  geglu: { plain: unary(ops.geglu) },
  gelu: { plain: unary(ops.gelu) },
  geluTanh: { plain: unary(ops.geluTanh) },
  groupNorm: {
    'image in 2 groups': groupNorm([2, 3, 2, 6], 2),
    'tokens in 1 group': groupNorm([1, 5, 3], 1),
    'a group for each channel': groupNorm([2, 3, 4], 4),
    'no positions': groupNorm([3, 6], 3),
  },
  layerNorm: { tokens: layerNorm([2, 3, 5]), 'a single row': layerNorm([7]) },
  linear: {
    'with bias': (b, p) => ops.linear(b, p('x', X), p('weight', [5, 4]), p('bias', [5])),
    'without bias': (b, p) => ops.linear(b, p('x', [3, 4]), p('weight', [1, 4])),
  },
  matmul: Object.fromEntries(
    [false, true].flatMap((transposeA) =>
      [false, true].map((transposeB) => {
        const build = binary(
          (b, x, y) => ops.matmul(b, x, y, { transposeA, transposeB }),
          transposeA ? [2, 4, 3] : [2, 3, 4],
          transposeB ? [2, 5, 4] : [2, 4, 5],
        );
        return [`transposeA ${transposeA}, transposeB ${transposeB}`, build];
      }),
    ),
  ),
  mul: { ...broadcasting(ops.mul), 'with itself': unary((b, x) => ops.mul(b, x, x)) },
  pad: { 'inner axis': unary((b, x) => ops.pad(b, x, { axis: 1, before: 2, after: 1 })) },
  permute: { 'three axes': unary((b, x) => ops.permute(b, x, [2, 0, 1])) },
  quickGelu: { plain: unary(ops.quickGelu) },
  relu: { plain: unary(ops.relu) },
  reshape: { plain: unary((b, x) => ops.reshape(b, x, [6, 4])) },
  sigmoid: { plain: unary(ops.sigmoid) },
  silu: { plain: unary(ops.silu) },
  slice: { 'inner axis': unary((b, x) => ops.slice(b, x, { axis: 1, start: 1, length: 2 })) },
  softmax: { plain: unary(ops.softmax) },
  sub: broadcasting(ops.sub),
  sum: {
    'axes kept': unary((b, x) => ops.mul(b, x, ops.sum(b, x, { axes: [1], keep: true }))),
    'axes dropped': unary((b, x) => ops.sum(b, x, { axes: [0, -1] })),
  },
  tanh: { plain: unary(ops.tanh) },
  upsampleNearest: {
    'whole factors': resample([2, 2, 3, 2], 4, 9),
    '2×3 to 3×5, repeating unevenly': resample([1, 2, 3, 2], 3, 5),
    'to fewer pixels': resample([1, 5, 4, 1], 2, 3),
  },
};

const FIRST_DERIVATIVES_ONLY = 'part of a gradient itself; training takes first derivatives only';

/** Ops without a gradient rule, and why each needs none. */
export const WITHOUT_GRADIENT: Partial<Record<OpName, string>> = {
  attentionGradient: FIRST_DERIVATIVES_ONLY,
  conv2dInputGradient: FIRST_DERIVATIVES_ONLY,
  conv2dWeightGradient: FIRST_DERIVATIVES_ONLY,
  embeddingGradient: FIRST_DERIVATIVES_ONLY,
  fakeQuantizeGradient: FIRST_DERIVATIVES_ONLY,
  fakeQuantizeScaleGradient: FIRST_DERIVATIVES_ONLY,
  groupNormGradient: FIRST_DERIVATIVES_ONLY,
  layerNormGradient: FIRST_DERIVATIVES_ONLY,
  observe: 'statistics for calibration, which no loss reads',
  pool2d: 'only networks that describe images pool, and they are used as published',
  timestepEmbedding: 'its only operand is the timestep, which is data',
  upsampleNearestGradient: FIRST_DERIVATIVES_ONLY,
};
