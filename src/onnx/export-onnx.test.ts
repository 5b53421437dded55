import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { inFolder } from '../../test/fuzz/in-folder.ts';
import { graphOf, randomArray } from '../../test/support/graphs.ts';
import {
  bytesOf,
  messagesOf,
  numbersOf,
  type ProtoMessage,
  readMessage,
  textsOf,
} from '../../test/support/read-protobuf.ts';
import { f32, type Tensor, tensor } from '../core/tensor.ts';
import type { Graph, Value } from '../ir/graph.ts';
import type { GraphBuilder } from '../ir/graph-builder.ts';
import { PLAIN_EPILOGUE } from '../ir/ops/epilogue.ts';
import * as ops from '../ir/ops/index.ts';
import { observe } from '../ir/ops/observe.ts';
import { type LayerParams, quantizedNames, quantizeLayers } from '../passes/quantize-layers.ts';
import { memoryWeights } from '../runtime/memory-weights.ts';
import { exportOnnx, lowerToOnnx } from './export-onnx.ts';

function conv(b: GraphBuilder, name: string, x: Value, skip?: Value): Value {
  return b.scope(name, () => {
    const inputs = x.shape[3] + (skip?.shape[3] ?? 0);
    const weight = b.parameter('weight', [4, inputs, 3, 3]);
    const attributes = {
      ...PLAIN_EPILOGUE,
      stride: 1,
      padding: [1, 1, 1, 1],
      upsample: 1,
    } as const;
    return b.apply('conv2d', { x, skip, weight, bias: b.parameter('bias', [4]) }, attributes)[0];
  });
}

const image = (b: GraphBuilder, name = 'x') => b.input(name, 'f32', [1, 5, 6, 4]);

/** Random numbers for every parameter, codes for s8 ones. */
function weightsFor(graph: Graph) {
  const tensors = [...graph.parameters].map(([path, value]): [string, Tensor] => {
    const { shape, data } = randomArray(path, value);
    if (value.dtype !== 's8') return [path, f32(shape, data)];
    return [
      path,
      tensor(
        's8',
        shape,
        Int8Array.from(data, (x) => 127 * x),
      ),
    ];
  });
  return memoryWeights(new Map(tensors));
}

const opsIn = (graph: Graph) => lowerToOnnx(graph).nodes.map(({ type }) => type);

test('consecutive image ops stay channels-first: one transpose in, one out', () => {
  const graph = graphOf((b) => {
    const hidden = ops.silu(b, conv(b, 'first', image(b)));
    return { y: ops.upsampleNearest(b, conv(b, 'second', hidden), { height: 10, width: 6 }) };
  });
  assert.deepEqual(opsIn(graph), [
    ...['Transpose', 'Conv', 'Sigmoid', 'Mul', 'Conv', 'Resize', 'Transpose', 'Identity'],
  ]);
});

test('the nodes of a quantized layer: codes, real numbers, layer, codes', () => {
  const graph = graphOf((b) => {
    const first = conv(b, 'first', image(b));
    return { y: conv(b, 'joined', first, conv(b, 'second', image(b, 'x2'))) };
  });
  const [a, b] = [
    { scale: 0.5, zeroPoint: 3 },
    { scale: 0.25, zeroPoint: 200 },
  ];
  const layers = new Map<string, LayerParams>([['joined', { x: a, skip: b }]]);
  const { nodes, initializers } = lowerToOnnx(quantizeLayers(layers).run(graph));
  const byName = new Map(nodes.map((node) => [node.name, node]));
  const convolution = byName.get('joined/Conv')!;
  const [source, weight, bias] = convolution.inputs;
  const names = quantizedNames('joined');
  assert.deepEqual(byName.get(weight)?.inputs, [names.weight, names.scale]);
  assert.equal(byName.get(weight)?.type, 'DequantizeLinear');
  assert.equal(byName.get(weight)?.attributes.axis, 0);
  assert.equal(bias, names.bias);
  const concat = byName.get(source)!;
  assert.equal(concat.type, 'Concat');
  const contentOf = (name: string) => initializers.find((each) => each.name === name)?.source;
  const grids = concat.inputs.map((half) => {
    const dequantize = byName.get(half)!;
    assert.equal(dequantize.type, 'DequantizeLinear');
    assert.equal(byName.get(dequantize.inputs[0])?.type, 'QuantizeLinear');
    assert.deepEqual(byName.get(dequantize.inputs[0])?.inputs.slice(1), dequantize.inputs.slice(1));
    return dequantize.inputs.slice(1).map(contentOf);
  });
  assert.deepEqual(grids, [
    [Float32Array.of(0.5), Uint8Array.of(3)],
    [Float32Array.of(0.25), Uint8Array.of(200)],
  ]);
});

test('names are unique, and every operand is there before it is read', () => {
  const graph = graphOf((b) => {
    const x = image(b);
    const y = conv(b, 'first', ops.silu(b, ops.silu(b, x)));
    // A parameter with the name of a node, an output with the name of an input.
    return { x: ops.add(b, y, b.parameter('first/Conv', [4])), y };
  });
  const { nodes, initializers, inputs, outputs } = lowerToOnnx(graph);
  const defined = new Set([...inputs, ...initializers].map(({ name }) => name));
  assert.equal(defined.size, inputs.length + initializers.length);
  for (const node of nodes) {
    for (const input of node.inputs) assert.ok(defined.has(input), `${input} in ${node.name}`);
    for (const output of node.outputs) {
      assert.ok(!defined.has(output), `${output} is defined twice`);
      defined.add(output);
    }
  }
  assert.deepEqual(
    outputs.map(({ name }) => name),
    ['out_x', 'y'],
  );
  for (const { name } of outputs) assert.ok(defined.has(name));
});

test('a file: large tensors lie page by page in the data beside it, small ones inside', async () => {
  const graph = graphOf((b) => {
    const hidden = conv(b, 'conv', image(b));
    const tokens = ops.reshape(b, hidden, [1, 30, 4]);
    return { y: ops.linear(b, tokens, b.parameter('wide', [300, 4])) };
  });
  const weights = weightsFor(graph);
  await inFolder(async (folder) => {
    const path = join(folder, 'unet.onnx');
    const metadata = { 'bookend.precision': 'fp32' };
    const result = await exportOnnx(graph, weights, path, { producerVersion: '1.2.3', metadata });
    assert.deepEqual(readdirSync(folder).sort(), ['unet.onnx', 'unet.onnx.data']);
    const model = readMessage(readFileSync(path));
    assert.deepEqual(numbersOf(model, 1), [8]);
    assert.deepEqual([textsOf(model, 2), textsOf(model, 3)], [['bookend'], ['1.2.3']]);
    assert.deepEqual(numbersOf(messagesOf(model, 8)[0], 2), [17]);
    assert.deepEqual(entries(messagesOf(model, 14)), metadata);
    const [content] = messagesOf(model, 7);
    assert.equal(messagesOf(content, 1).length, result.nodes);
    const tensors = new Map(messagesOf(content, 5).map((each) => [textsOf(each, 8)[0], each]));
    const data = readFileSync(result.data);
    assert.equal(data.length, result.bytes);
    const wide = await weights.read('wide');
    const transposed = tensors.get('wide.transposed')!;
    assert.deepEqual(numbersOf(transposed, 1), [4, 300]);
    const { location, offset, length } = entries(messagesOf(transposed, 13));
    assert.equal(location, 'unet.onnx.data');
    assert.deepEqual([Number(length), Number(offset) % 4096], [4800, 0]);
    const stored = floatsOf(data.subarray(Number(offset), Number(offset) + Number(length)));
    assert.equal(stored[300 * 2 + 7], wide.data[7 * 4 + 2]);
    const bias = tensors.get('conv.bias')!;
    const expected = (await weights.read('conv.bias')).data;
    assert.deepEqual(floatsOf(bytesOf(bias, 9)[0]), expected);
    assert.deepEqual(typeOf(messagesOf(content, 11)[0]), ['x', 1, [1, 5, 6, 4]]);
    assert.deepEqual(typeOf(messagesOf(content, 12)[0]), ['y', 1, [1, 30, 300]]);
  });
});

/** Key and value of StringStringEntryProtos. */
function entries(messages: readonly ProtoMessage[]): Record<string, string> {
  return Object.fromEntries(messages.map((each) => [textsOf(each, 1)[0], textsOf(each, 2)[0]]));
}

function floatsOf(bytes: Uint8Array): Float32Array {
  return new Float32Array(Uint8Array.from(bytes).buffer);
}

/** Name, element type and shape of a ValueInfoProto. */
function typeOf(value: ProtoMessage): [string, number, number[]] {
  const [type] = messagesOf(messagesOf(value, 2)[0], 1);
  const dims = messagesOf(messagesOf(type, 2)[0], 1);
  return [textsOf(value, 1)[0], numbersOf(type, 1)[0], dims.flatMap((dim) => numbersOf(dim, 1))];
}

test('what cannot be exported is refused by name, before any file is written', async () => {
  const observed = graphOf((b) => ({ y: observe(b, image(b)).histogram }));
  assert.throws(() => lowerToOnnx(observed), { code: 'unsupported', message: /is observe, / });
  const half = graphOf((b) => ({ y: ops.cast(b, image(b), 'bf16') }));
  assert.throws(() => lowerToOnnx(half), { code: 'unsupported', message: /as bf16.*f32/ });
  const graph = graphOf((b) => ({ y: conv(b, 'conv', image(b)) }));
  await inFolder(async (folder) => {
    const path = join(folder, 'x.onnx');
    const exporting = exportOnnx(graph, memoryWeights(new Map()), path);
    await assert.rejects(exporting, { code: 'missing-tensor' });
    const floats = new Map([['codes', f32([4, 2], new Float32Array(8))]]);
    const quantized = graphOf((b) => {
      const x = b.input('x', 'u8', [1, 2], { scale: 1, zeroPoint: 0 });
      const operands = {
        x,
        weight: b.parameter('codes', [4, 2], 's8'),
        weightScale: b.input('scale', 'f32', [4]),
      };
      return { y: b.apply('linear', operands, { ...PLAIN_EPILOGUE, floatType: 'f32' })[0] };
    });
    await assert.rejects(exportOnnx(quantized, memoryWeights(floats), path), {
      code: 'invalid-checkpoint',
      message: /codes is stored as f32 where the graph has s8/,
    });
    const signal = AbortSignal.abort();
    await assert.rejects(exportOnnx(graph, weightsFor(graph), path, { signal }), {
      code: 'aborted',
    });
    await assert.rejects(exportOnnx(graph, weightsFor(graph), folder), { code: 'io' });
    assert.deepEqual(readdirSync(folder), []);
  });
});
