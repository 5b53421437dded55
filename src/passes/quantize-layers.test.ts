import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  evaluateRandomly,
  graphOf,
  opsOf,
  randomArray,
  randomSources,
  relativeError,
} from '../../test/support/graphs.ts';
import type { Graph, Value } from '../ir/graph.ts';
import type { GraphBuilder } from '../ir/graph-builder.ts';
import { isOp } from '../ir/op-table.ts';
import * as ops from '../ir/ops/index.ts';
import { interpret } from '../runtime/reference/interpret.ts';
import { inferencePasses, runPasses } from './index.ts';
import { layerInputs } from './layer-inputs.ts';
import { type LayerParams, quantizedNames, quantizeLayers } from './quantize-layers.ts';

const PARAMS = { scale: 0.03, zeroPoint: 120 };
const OTHER = { scale: 0.05, zeroPoint: 100 };

function conv(b: GraphBuilder, name: string, x: Value, channels = 4, kernel = 3): Value {
  return b.scope(name, () => {
    const weight = b.parameter('weight', [channels, x.shape[3], kernel, kernel]);
    const padding = (kernel - 1) / 2;
    return ops.conv2d(b, x, weight, b.parameter('bias', [channels]), { padding });
  });
}

function norm(b: GraphBuilder, name: string, x: Value): Value {
  const [gamma, beta] = [b.parameter(`${name}.gamma`, [4]), b.parameter(`${name}.beta`, [4])];
  return ops.silu(b, ops.groupNorm(b, x, gamma, beta, { groups: 2, eps: 1e-5 }));
}

function linear(b: GraphBuilder, name: string, x: Value, channels: number): Value {
  return b.scope(name, () => ops.linear(b, x, b.parameter('weight', [channels, x.shape[2]])));
}

const image = (b: GraphBuilder) => b.input('x', 'f32', [1, 4, 4, 4]);

function quantized(graph: Graph, layers: Record<string, LayerParams>): Graph {
  const ready = runPasses(graph, inferencePasses('f32'));
  return quantizeLayers(new Map(Object.entries(layers))).run(ready);
}

const outputTypes = (graph: Graph) =>
  graph.nodes.map((node) => `${node.op} ${node.outputs.map(({ dtype }) => dtype).join('+')}`);

test('norms and layers store the codes that only layers read', () => {
  const graph = graphOf((b) => {
    const h = conv(b, 'first', norm(b, 'norm', image(b)));
    return { y: conv(b, 'second', h) };
  });
  const layers = { first: { x: PARAMS }, second: { x: OTHER } };
  const result = quantized(graph, layers);
  assert.deepEqual(outputTypes(result), ['groupNorm u8', 'conv2d u8', 'conv2d f32']);
  assert.deepEqual(result.nodes[1].inputs.x.quantization, PARAMS);
  assert.deepEqual(result.nodes[2].inputs.x.quantization, OTHER);
  const { weight, scale, bias } = quantizedNames('first');
  assert.equal(result.parameters.get(weight)?.dtype, 's8');
  assert.equal(result.parameters.get(scale)?.dtype, 'f32');
  assert.ok(result.parameters.has(bias));
  assert.ok(!result.parameters.has('first.weight'));
});

test('a result that is read both ways is stored both ways, by layers at no extra pass', () => {
  const graph = graphOf((b) => {
    const h = conv(b, 'first', image(b));
    return { y: ops.add(b, ops.exp(b, h), conv(b, 'second', h)), z: h };
  });
  const result = quantized(graph, { second: { x: PARAMS } });
  assert.equal(outputTypes(result)[0], 'conv2d f32+u8');
  assert.ok(!opsOf(result).includes('cast'));
  assert.equal(result.outputs.z.dtype, 'f32');
});

test('what cannot store codes is followed by a cast, made once', () => {
  const graph = graphOf((b) => {
    const h = norm(b, 'norm', image(b));
    const sum = ops.add(b, conv(b, 'first', h), conv(b, 'second', h));
    return { y: ops.add(b, sum, ops.exp(b, h)) };
  });
  const result = quantized(graph, { first: { x: PARAMS }, second: { x: PARAMS } });
  assert.equal(opsOf(result).filter((op) => op === 'cast').length, 1);
});

test('readers that disagree each get the codes they want', () => {
  const graph = graphOf((b) => {
    const h = norm(b, 'norm', image(b));
    return { y: conv(b, 'first', h), z: conv(b, 'second', h) };
  });
  const result = quantized(graph, { first: { x: PARAMS }, second: { x: OTHER } });
  const layers = result.nodes.filter((node) => isOp(node, 'conv2d'));
  assert.deepEqual(
    layers.map((node) => node.inputs.x.quantization),
    [PARAMS, OTHER],
  );
});

test('codes pass through reshapes, and both halves of a skip have their own', () => {
  const graph = graphOf((b) => {
    const [first, second] = [conv(b, 'first', image(b)), conv(b, 'second', image2(b))];
    const joined = conv(b, 'joined', ops.concat(b, first, second, { axis: 3 }), 4, 1);
    const tokens = ops.reshape(b, norm(b, 'norm', joined), [1, 16, 4]);
    return { y: linear(b, 'linear', tokens, 3) };
  });
  const layers = { joined: { x: PARAMS, skip: OTHER }, linear: { x: PARAMS } };
  const result = quantized(graph, layers);
  assert.deepEqual(outputTypes(result), [
    'conv2d u8',
    'conv2d u8',
    'conv2d f32',
    'groupNorm u8',
    'reshape u8',
    'linear f32',
  ]);
  assert.deepEqual(result.nodes[2].inputs.skip.quantization, OTHER);
  assert.throws(() => quantized(graph, { joined: { x: PARAMS } }), {
    code: 'invalid-argument',
    message: /two sources/,
  });
});

const image2 = (b: GraphBuilder) => b.input('x2', 'f32', [1, 4, 4, 4]);

test('with fine scales the quantized graph computes what the original did', async () => {
  const graph = graphOf((b) => {
    const h = conv(b, 'first', norm(b, 'norm', image(b)));
    return { y: conv(b, 'second', h, 2, 1) };
  });
  const ready = runPasses(graph, inferencePasses('f32'));
  const fine = { scale: 16 / 255, zeroPoint: 128 };
  const layers = new Map([
    ['first', { x: fine }],
    ['second', { x: fine }],
  ]);
  const result = quantizeLayers(layers).run(ready);
  const sources = randomSources(result);
  const step = 1 / 127;
  const stored = new Map<Value, ReturnType<typeof randomArray>>();
  for (const layer of layers.keys()) {
    const names = quantizedNames(layer);
    const original = randomArray(`${layer}.weight`, graph.parameters.get(`${layer}.weight`)!);
    const codes = original.data.map((w) => Math.round(w / step));
    stored.set(result.parameters.get(names.weight)!, { shape: original.shape, data: codes });
    const channels = original.shape.slice(0, 1);
    const steps = new Float64Array(channels[0]).fill(step);
    stored.set(result.parameters.get(names.scale)!, { shape: channels, data: steps });
    stored.set(
      result.parameters.get(names.bias)!,
      randomArray(`${layer}.bias`, { shape: channels }),
    );
  }
  const { y } = await interpret(result, (value) => stored.get(value) ?? sources(value), {
    roundToDType: true,
  });
  const expected = await evaluateRandomly(graph);
  const error = relativeError(y.data, expected.y.data);
  assert.ok(error < 0.05, `differs by ${error}`);
});

test('layer inputs are listed once, behind reshapes, with all their readers', () => {
  const graph = graphOf((b) => {
    const tokens = ops.reshape(b, norm(b, 'norm', image(b)), [1, 16, 4]);
    return { q: linear(b, 'q', tokens, 4), k: linear(b, 'k', tokens, 4) };
  });
  const ready = runPasses(graph, inferencePasses('f32'));
  const inputs = [...layerInputs(ready, ['q', 'k', 'elsewhere'])];
  assert.equal(inputs.length, 1);
  const [[value, readers]] = inputs;
  assert.equal(value.node?.op, 'groupNorm');
  assert.deepEqual(readers, [
    { layer: 'q', operand: 'x' },
    { layer: 'k', operand: 'x' },
  ]);
});
