import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  evaluate,
  perturbed,
  quantizedTinyUNet,
  TIMESTEPS,
  tinyInputs,
  tinyUNet,
} from '../../../test/support/tiny-qat.ts';
import { quantizeToCode } from '../../core/quantization-params.ts';
import { f32, type Tensor } from '../../core/tensor.ts';
import { type Graph, type Node, typeOf } from '../../ir/graph.ts';
import { GraphBuilder } from '../../ir/graph-builder.ts';
import type { NumericArray } from '../../ir/op.ts';
import { isOp } from '../../ir/op-table.ts';
import { inferencePasses, runPasses } from '../../passes/index.ts';
import { quantizedNames, quantizeLayers } from '../../passes/quantize-layers.ts';
import { copyInto } from '../../passes/rewrite.ts';
import type { Executable } from '../../runtime/backend.ts';
import { memoryWeights } from '../../runtime/memory-weights.ts';
import { nativeBackend } from '../../runtime/native/native-backend.ts';
import { referenceBackend, toTensor } from '../../runtime/reference/reference-backend.ts';
import { checkQuantizedUNet } from '../quantized-weights.ts';
import { activationOperands } from './activation-params.ts';
import { convert } from './convert.ts';
import { LearnedScales } from './learned-scales.ts';
import { MovingRanges } from './moving-ranges.ts';
import { prepare } from './prepare.ts';

const { model, tensors } = await quantizedTinyUNet();
const [{ layers }] = model.buckets;
const graph = tinyUNet(1);
const ready = runPasses(graph, inferencePasses('f32'));
const prepared = prepare(graph, layers, { ranges: 'held' });
const FROZEN = { momentum: 0.1, freezeStep: 0 };

/** A reader of tensors by name. */
const reader = (source: ReadonlyMap<string, Tensor>) => async (name: string) => source.get(name)!;

test('without any training the quantized model comes back', async () => {
  const state = new MovingRanges(prepared.inputs, model, FROZEN);
  const converted = await convert(model, state, reader(tensors));
  for (const [name, { data }] of converted.tensors) {
    assert.deepEqual(data, tensors.get(name)!.data, name);
  }
  const source = memoryWeights(converted.tensors);
  await checkQuantizedUNet(converted.model, ready, source, 'the converted model');
  assert.equal(converted.model.origin.method, 'qat');
  for (const [i, bucket] of converted.model.buckets.entries()) {
    assert.deepEqual([...bucket.layers.keys()], [...layers.keys()]);
    for (const [path, { x }] of bucket.layers) {
      const expected = model.buckets[i].layers.get(path)!.x;
      assert.equal(x.zeroPoint, expected.zeroPoint);
      assert.ok(Math.abs(x.scale / expected.scale - 1) < 1e-6, 'ranges are kept in float32');
    }
  }
  const learned = await convert(model, new LearnedScales(prepared.inputs, model), reader(tensors));
  for (const [i, bucket] of learned.model.buckets.entries()) {
    for (const [path, params] of bucket.layers) {
      assert.deepEqual(params, model.buckets[i].layers.get(path));
    }
  }
});

test('weights that training ruined are refused, and so are scales', async () => {
  const state = new LearnedScales(prepared.inputs, model);
  const [path] = layers.keys();
  const with_ = (name: string, value: number) => {
    const { shape, data } = tensors.get(name)!;
    return reader(
      new Map([
        ...tensors,
        [
          name,
          f32(
            shape,
            data.map(() => value),
          ),
        ],
      ]),
    );
  };
  const ruined = { code: 'non-finite' };
  await assert.rejects(convert(model, state, with_(`${path}.weight`, Number.NaN)), ruined);
  await assert.rejects(convert(model, state, with_(quantizedNames(path).bias, Infinity)), ruined);
  const wrong = { code: 'invalid-argument', message: /scale of a quantized tensor is -1/ };
  await assert.rejects(convert(model, state, with_(quantizedNames(path).scale, -1)), wrong);
  state.scales.get(prepared.inputs[0].name)![0] = -1;
  await assert.rejects(convert(model, state, reader(tensors)), wrong);
});

/** Weights, biases and scales as a training might leave them: all of them changed. */
function trained() {
  const changed = new Map(tensors);
  for (const name of [...prepared.weights, ...prepared.weightScales]) {
    changed.set(name, perturbed(tensors.get(name)!, 0.1));
  }
  const state = new LearnedScales(prepared.inputs, model);
  for (const scales of state.scales.values()) {
    for (const bucket of scales.keys()) scales[bucket] *= 0.8 + 0.1 * bucket;
  }
  return { changed, state };
}

const OPERANDS = ['x', 'skip', 'rowBias', 'residual'] as const;

/** The layers of a graph by path, in it and ready for inference either way. */
function layerNodes(from: Graph, weightOf: (node: Node) => unknown, suffix: string) {
  const paths = new Map([...from.parameters].map(([path, value]) => [value as unknown, path]));
  const nodes = new Map<string, Node>();
  for (const node of from.nodes) {
    const path = isOp(node, 'conv2d', 'linear') ? paths.get(weightOf(node)) : undefined;
    if (path?.endsWith(suffix)) nodes.set(path.slice(0, -suffix.length), node);
  }
  return nodes;
}

/** What every layer of the fake-quantized graph read and gave: 'path operand'. */
async function fakeQuantized(operands: Record<string, Tensor>, source: Map<string, Tensor>) {
  const fused = runPasses(prepared.graph, inferencePasses('f32'));
  const weightOf = ({ inputs }: Node) => inputs.weight.node?.inputs.x;
  const nodes = layerNodes(fused, weightOf, '.weight');
  const { b, map } = copyInto(fused);
  for (const path of layers.keys()) {
    const node = nodes.get(path)!;
    for (const operand of OPERANDS) {
      const value = node.inputs[operand];
      if (value) b.output(`${path} ${operand}`, map(value));
    }
    b.output(`${path} out`, map(node.outputs[0]));
  }
  return evaluate(b.finish(), operands, source);
}

/** One layer of the INT8 graph alone, with its operands as inputs. */
function alone(node: Node): Graph {
  const b = new GraphBuilder('layer');
  const inputs = Object.fromEntries(
    Object.entries(node.inputs).map(([operand, value]) => {
      const { dtype, shape, quantization } = value;
      return [
        operand,
        value.node === undefined && operand.match(/weight|^bias/)
          ? b.parameter(operand, shape, dtype)
          : b.input(operand, dtype, shape, quantization),
      ];
    }),
  );
  const outputs = b.applyAny(node.op, inputs, node.attributes);
  for (const value of outputs) b.output(value.dtype === 'u8' ? 'codes' : 'float', value);
  return b.finish();
}

/** Compares a layer's results with the fake-quantized ones; gives how many codes differ. */
function compare(path: string, results: Record<string, Tensor>, layer: Graph, out: NumericArray) {
  const { float, codes } = results;
  let different = 0;
  if (float) {
    const largest = out.data.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    for (const [i, x] of out.data.entries()) {
      assert.ok(Math.abs(float.data[i] - x) <= 2e-6 * largest, `${path}: ${float.data[i]} ≠ ${x}`);
    }
  }
  for (const [i, code] of codes?.data.entries() ?? []) {
    const expected = quantizeToCode(out.data[i], layer.outputs.codes.quantization!);
    assert.ok(Math.abs(code - expected) <= 1, `${path}: code ${code} ≠ ${expected}`);
    if (code !== expected) different++;
  }
  return { codes: codes?.data.length ?? 0, different };
}

const BACKENDS = {
  reference: (layer: Graph, source: ReadonlyMap<string, Tensor>) =>
    referenceBackend.compile(layer, memoryWeights(source), { roundToDType: true }),
  native: (layer: Graph, source: ReadonlyMap<string, Tensor>): Promise<Executable> =>
    nativeBackend.compile(layer, memoryWeights(source), { threads: 1 }),
};

for (const [name, compile] of Object.entries(BACKENDS)) {
  test(`after convert every INT8 layer gives what the fake-quantized one gave: ${name}`, async () => {
    const { changed, state } = trained();
    const converted = await convert(model, state, reader(changed));
    let total = 0;
    let differing = 0;
    for (const timestep of TIMESTEPS) {
      const bucket = model.layersAt(timestep);
      const operands = { ...tinyInputs(graph, [timestep]), ...activationOperands(state, [bucket]) };
      const seen = await fakeQuantized(operands, changed);
      const int8 = quantizeLayers(converted.model.buckets[bucket].layers).run(ready);
      const nodes = layerNodes(int8, ({ inputs }) => inputs.weight, '.weight.s8');
      assert.equal(nodes.size, layers.size);
      for (const [path, node] of nodes) {
        const layer = alone(node);
        const names = quantizedNames(path);
        const own = { weight: names.weight, weightScale: names.scale, bias: names.bias };
        const source = Object.entries(own).map(
          ([operand, stored]) => [operand, converted.tensors.get(stored)!] as const,
        );
        const executable = await compile(layer, new Map(source));
        const inputs = Object.fromEntries(
          Object.entries(layer.inputs).map(([operand, value]) => [
            operand,
            toTensor(seen[`${path} ${operand}`], typeOf(value)),
          ]),
        );
        const results = await executable.run(inputs);
        executable.dispose();
        const counts = compare(path, results, layer, seen[`${path} out`]);
        total += counts.codes;
        differing += counts.different;
      }
    }
    assert.ok(total > 1000 && differing <= 0.002 * total, `${differing} of ${total} codes differ`);
  });
}
