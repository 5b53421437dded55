import type { Tensor } from '../../src/core/tensor.ts';
import type { Graph, Value } from '../../src/ir/graph.ts';
import { GraphBuilder } from '../../src/ir/graph-builder.ts';
import * as ops from '../../src/ir/ops/index.ts';
import { graphParameters } from '../../src/models/parameters.ts';
import { hashedIds, hashedInput, hashedWeights } from '../../src/models/random-weights.ts';
import type { RunnableGraph } from './quantize.ts';

/** Every op that is exported, with the attributes and operands that models rarely use. */
export function allOps(): RunnableGraph {
  const b = new GraphBuilder('AllOps');
  const image = b.input('image', 'f32', [2, 5, 4, 6]);
  const tokens = b.input('tokens', 'f32', [2, 7, 6]);
  const timestep = b.input('timestep', 'f32', [2]);
  const ids = b.input('ids', 's32', [2, 7]);
  convolutions(b, image);
  linears(b, tokens);
  elementwise(b, image, tokens);
  b.output('time', time(b, timestep));
  b.output('embedding', ops.embedding(b, ids, b.parameter('table', [11, 6])));
  // An input that is an output, and one Value under two names.
  b.output('tokens', tokens);
  b.output('again', tokens);
  const graph = b.finish();
  return { graph, weights: hashedWeights(graphParameters(graph)), inputs: inputsFor(graph) };
}

function convolutions(b: GraphBuilder, image: Value): void {
  const weight = b.parameter('conv.weight', [6, 6, 3, 2]);
  const uneven = ops.conv2d(b, image, weight, undefined, { stride: 2, padding: [2, 0, 1, 3] });
  b.output('uneven', ops.upsampleNearest(b, uneven, { height: 7, width: 9 }));
  const [batch, height, width, channels] = image.shape;
  const fused = b.apply(
    'conv2d',
    {
      x: image,
      skip: ops.tanh(b, image),
      weight: b.parameter('fused.weight', [8, 12, 3, 3]),
      bias: b.parameter('fused.bias', [8]),
      rowBias: b.parameter('fused.row', [batch, 8]),
      residual: b.parameter('fused.residual', [batch, 2 * height, 2 * width, 4]),
    },
    {
      activation: 'geglu',
      outputScale: 0.5,
      stride: 1,
      padding: [1, 1, 1, 1],
      upsample: 2,
    },
  )[0];
  b.output('fused', fused);
  b.output('larger', ops.upsampleNearest(b, image, { height: 2 * height, width: 3 * width }));
  const [gamma, beta] = [b.parameter('gamma', [channels * 2]), b.parameter('beta', [channels * 2])];
  const attributes = { groups: 4, eps: 1e-3, activation: 'silu' } as const;
  const skip = ops.affine(b, image, { scale: 2, offset: 1 });
  b.output('groups', b.apply('groupNorm', { x: image, skip, gamma, beta }, attributes)[0]);
}

function linears(b: GraphBuilder, tokens: Value): void {
  const weight = (name: string, out: number) => b.parameter(`${name}.weight`, [out, 6]);
  const query = ops.linear(b, tokens, weight('q', 6), b.parameter('q.bias', [6]));
  const key = ops.linear(b, tokens, weight('k', 6));
  b.output('causal', ops.attention(b, query, key, tokens, { heads: 2, causal: true }));
  const plain = { activation: 'quickGelu', outputScale: 1 } as const;
  const rowBias = b.parameter('row', [2, 4]);
  const x = ops.layerNorm(b, tokens, b.parameter('g', [6]), b.parameter('h', [6]), { eps: 1e-5 });
  b.output('rows', b.apply('linear', { x, weight: weight('rows', 4), rowBias }, plain)[0]);
  b.output('geglu', ops.geglu(b, tokens));
}

function elementwise(b: GraphBuilder, image: Value, tokens: Value): void {
  const chain = [
    ops.gelu,
    ops.geluTanh,
    ops.quickGelu,
    ops.relu,
    ops.silu,
    ops.sigmoid,
    ops.erf,
    ops.exp,
  ];
  b.output(
    'chain',
    chain.reduce((x, op) => op(b, x), tokens),
  );
  const weight = b.parameter('pointwise.weight', [6, 6, 1, 1]);
  const first = ops.conv2d(b, image, weight);
  const perRow = ops.reshape(b, b.parameter('scale', [2, 6]), [2, 1, 1, 6]);
  const mixed = ops.div(b, ops.mul(b, ops.add(b, first, perRow), image), ops.exp(b, image));
  b.output('mixed', ops.sub(b, mixed, b.parameter('offset', [6])));
  const joined = ops.concat(b, first, image, { axis: 1 });
  b.output('largest', ops.maxPool2d(b, image, { kernel: 3, stride: 2, padding: 1 }));
  b.output('mean', ops.averagePool2d(b, image, { kernel: 3, padding: 1 }));
  b.output('joined', ops.slice(b, joined, { axis: 1, start: 3, length: 4 }));
}

function time(b: GraphBuilder, timestep: Value): Value {
  const attributes = { dim: 10, freqShift: 1, maxPeriod: 10000 };
  const first = ops.timestepEmbedding(b, timestep, { ...attributes, flipSinToCos: true });
  const second = ops.timestepEmbedding(b, timestep, { ...attributes, flipSinToCos: false });
  return ops.concat(b, first, second);
}

/** Timesteps as they are in use, token ids below 10, unit variance for all else. */
export function inputsFor(graph: Graph): Record<string, Tensor> {
  return Object.fromEntries(
    Object.entries(graph.inputs).map(([name, { dtype, shape }]) => {
      if (dtype === 's32') return [name, hashedIds(name, shape, 10)];
      const input = hashedInput(name, shape);
      if (name !== 'timestep') return [name, input];
      return [name, { ...input, data: Float32Array.from(input.data, (_, i) => 981 - 350 * i) }];
    }),
  );
}
