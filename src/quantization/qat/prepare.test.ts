import assert from 'node:assert/strict';
import { test } from 'node:test';
import { relativeError } from '../../../test/support/graphs.ts';
import {
  evaluate,
  quantizedTinyUNet,
  TIMESTEPS,
  tinyInputs,
  tinyUNet,
} from '../../../test/support/tiny-qat.ts';
import { BookendError } from '../../core/errors.ts';
import { elementCount } from '../../core/shape.ts';
import { f32, floats, type Tensor, tensor } from '../../core/tensor.ts';
import type { Graph } from '../../ir/graph.ts';
import { isOp } from '../../ir/op-table.ts';
import { assignPrecision } from '../../passes/assign-precision.ts';
import { checkpoint } from '../../passes/checkpoint.ts';
import { differentiate, gradientName } from '../../passes/differentiate.ts';
import { inferencePasses, runPasses } from '../../passes/index.ts';
import { type LayerParams, quantizeLayers } from '../../passes/quantize-layers.ts';
import { memoryWeights } from '../../runtime/memory-weights.ts';
import { nativeBackend } from '../../runtime/native/native-backend.ts';
import { referenceBackend, toTensor } from '../../runtime/reference/reference-backend.ts';
import { observedInputs } from '../calibration.ts';
import { activationOperands } from './activation-params.ts';
import { LearnedScales } from './learned-scales.ts';
import { MovingRanges } from './moving-ranges.ts';
import { fakeQuantizationNames, prepare } from './prepare.ts';

const { model, tensors } = await quantizedTinyUNet();
const [{ layers }] = model.buckets;
const SETTINGS = { momentum: 0.25, freezeStep: 2 };

test('inputs are those that calibration observes, rounded once however many read them', () => {
  const graph = tinyUNet(2);
  const { graph: prepared, inputs } = prepare(graph, layers, { ranges: 'held' });
  const ready = runPasses(graph, inferencePasses('f32'));
  const observed = observedInputs(ready, layers.keys());
  const readersByName = (list: readonly { readonly name: string; readonly readers: unknown }[]) =>
    list.map(({ name, readers }) => ({ name, readers })).sort((a, b) => (a.name < b.name ? -1 : 1));
  assert.deepEqual(readersByName(inputs), readersByName(observed));
  assert.ok(
    inputs.some(({ readers }) => readers.length === 3),
    'queries, keys and values share',
  );
  assert.ok(inputs.some(({ readers }) => readers[0].operand === 'skip'));
  const rounded = prepared.nodes.filter((node) => isOp(node, 'fakeQuantize'));
  assert.equal(rounded.length, inputs.length + layers.size);
});

test('a prepared graph computes what the quantized model does', async () => {
  const graph = tinyUNet(1);
  const { graph: prepared, inputs } = prepare(graph, layers, { ranges: 'held' });
  const state = new MovingRanges(inputs, model, SETTINGS);
  const [timestep] = TIMESTEPS;
  const sources = tinyInputs(graph, [timestep]);
  const operands = activationOperands(state, [model.layersAt(timestep)]);
  const found = await evaluate(prepared, { ...sources, ...operands }, tensors);
  const ready = runPasses(graph, inferencePasses('f32'));
  const int8 = quantizeLayers(layers).run(ready);
  const weights = memoryWeights(tensors);
  const simulated = await referenceBackend.compile(int8, weights, { roundToDType: true });
  const { sample } = await simulated.run(sources);
  const original = await evaluate(graph, sources, tensors);
  const apart = relativeError(found.sample.data, sample.data);
  const loss = relativeError(found.sample.data, original.sample.data);
  // Rounding to float32 alone; were it to move a code, by a tie, that would still be small beside INT8.
  assert.ok(apart < 0.1 * loss && loss < 0.1, `${apart} beside ${loss}`);
});

test('samples of different buckets are each rounded as in their own', async () => {
  const graph = tinyUNet(2);
  const single = tinyUNet(1);
  const both = prepare(graph, layers, { ranges: 'held' });
  const one = prepare(single, layers, { ranges: 'held' });
  const sources = tinyInputs(graph, TIMESTEPS);
  const state = new MovingRanges(both.inputs, model, SETTINGS);
  const operands = activationOperands(state, TIMESTEPS.map(model.layersAt));
  const { sample } = await evaluate(both.graph, { ...sources, ...operands }, tensors);
  const half = (source: Tensor, i: number) => {
    const length = source.data.length / 2;
    return f32(
      [1, ...source.shape.slice(1)],
      source.data.slice(i * length, (i + 1) * length) as Float32Array,
    );
  };
  for (const [i, timestep] of TIMESTEPS.entries()) {
    const own = Object.fromEntries(Object.entries(sources).map(([name, x]) => [name, half(x, i)]));
    const stateOfOne = new MovingRanges(one.inputs, model, SETTINGS);
    const scales = activationOperands(stateOfOne, [model.layersAt(timestep)]);
    const expected = await evaluate(one.graph, { ...own, ...scales }, tensors);
    const length = sample.data.length / 2;
    const found = sample.data.subarray(i * length, (i + 1) * length);
    assert.ok(relativeError(found, expected.sample.data) < 1e-12);
  }
});

test('a prepared graph runs natively, its ranges being those of the reference', async () => {
  const graph = tinyUNet(2);
  const { graph: prepared, inputs } = prepare(graph, layers, { ranges: 'observed' });
  const state = new MovingRanges(inputs, model, SETTINGS);
  const operands = activationOperands(state, TIMESTEPS.map(model.layersAt));
  const sources = { ...tinyInputs(graph, TIMESTEPS), ...operands };
  const expected = await evaluate(prepared, sources, tensors);
  const executable = await nativeBackend.compile(prepared, memoryWeights(tensors), { threads: 1 });
  const found = await executable.run(sources);
  executable.dispose();
  for (const [name, { data }] of Object.entries(expected)) {
    const error = relativeError(floats(found[name]), data);
    assert.ok(error < 1e-3, `${name} is off by ${error}`);
  }
});

test('in bf16, weights are rounded to codes from f32, and so are their gradients', async () => {
  const graph = tinyUNet(1);
  const { graph: prepared, inputs, weights } = prepare(graph, layers, { ranges: 'held' });
  const differentiated = differentiate(prepared, { outputs: ['sample'], withRespectTo: weights });
  const { parameters, outputs } = assignPrecision('bf16').run(differentiated);
  for (const name of weights) {
    assert.equal(parameters.get(name)?.dtype, 'f32');
    assert.equal(outputs[gradientName(name)].dtype, 'f32');
  }
  const [timestep] = TIMESTEPS;
  const operands = activationOperands(new MovingRanges(inputs, model, SETTINGS), [0]);
  const sources = { ...tinyInputs(graph, [timestep]), ...operands };
  const expected = await evaluate(prepared, sources, tensors);
  const bf16 = assignPrecision('bf16').run(prepared);
  const options = { threads: 1, passes: [] };
  const executable = await nativeBackend.compile(bf16, memoryWeights(tensors), options);
  const found = await executable.run(sources);
  executable.dispose();
  // BF16 alone moves this network by 2%, and its INT8 form by 4%: codes fall otherwise.
  assert.ok(relativeError(floats(found.sample), expected.sample.data) < 0.05);
});

test('ranges move towards what each sample holds, until they are frozen', async () => {
  const graph = tinyUNet(2);
  const { graph: prepared, inputs } = prepare(graph, layers, { ranges: 'observed' });
  const state = new MovingRanges(inputs, model, SETTINGS);
  const buckets = TIMESTEPS.map(model.layersAt);
  const operands = { ...tinyInputs(graph, TIMESTEPS), ...activationOperands(state, buckets) };
  const outputs: Record<string, Tensor> = {};
  for (const [name, array] of Object.entries(await evaluate(prepared, operands, tensors))) {
    outputs[name] = toTensor(array, prepared.outputs[name]);
  }
  const { range } = fakeQuantizationNames(inputs[0].name);
  const seen = outputs[range].data;
  const before = state.tensors().get(range)!.data;
  assert.equal(seen.length, 4);
  state.update(0, buckets, outputs);
  const after = state.tensors();
  for (const [i, value] of after.get(range)!.data.entries()) {
    assert.ok(Math.abs(value - (0.75 * before[i] + 0.25 * seen[i])) < 1e-5);
  }
  state.update(2, buckets, outputs);
  assert.deepEqual(state.tensors(), after, 'frozen from step 2 on');

  const resumed = new MovingRanges(inputs, model, SETTINGS);
  resumed.restore(after);
  state.update(1, buckets, outputs);
  resumed.update(1, buckets, outputs);
  assert.deepEqual(resumed.tensors(), state.tensors());
  assert.notDeepEqual(state.tensors(), after);
  const ruined = {
    ...outputs,
    [range]: tensor('f32', [2, 2], new Float32Array(4).fill(Number.NaN)),
  };
  assert.throws(() => resumed.update(1, buckets, ruined), { code: 'non-finite' });
  assert.throws(() => resumed.update(1, [0], outputs), /2 samples and 1 timesteps/);
  assert.throws(() => resumed.restore(new Map()), { code: 'missing-tensor' });
  const short = new Map([...after].map(([name]) => [name, f32([1], [0])]));
  assert.throws(() => resumed.restore(short), { code: 'invalid-checkpoint' });
});

test('weights, biases and scales have gradients, natively too; scales of a bucket add up', async () => {
  const graph = tinyUNet(2);
  const {
    graph: prepared,
    inputs,
    weights,
    weightScales,
  } = prepare(graph, layers, { ranges: 'held' });
  const learned = new LearnedScales(inputs, model);
  const names = [...weights, ...weightScales, ...learned.names()];
  const gradients = differentiate(prepared, { outputs: ['sample'], withRespectTo: names });
  const buckets = [1, 1];
  const sources = {
    ...tinyInputs(graph, [900, 950]),
    ...activationOperands(learned, buckets),
    'outputGradient:sample': f32(
      graph.outputs.sample.shape,
      new Float32Array(2 * 4 * 4 * 4).fill(1),
    ),
  };
  const results = await evaluate(gradients, sources, tensors);
  for (const name of names) {
    const { data } = results[gradientName(name)];
    assert.ok(data.every(Number.isFinite) && data.some((x) => x !== 0), name);
  }
  const options = { threads: 1, passes: [] };
  const executable = await nativeBackend.compile(gradients, memoryWeights(tensors), options);
  const native = await executable.run(sources);
  executable.dispose();
  for (const name of names.map(gradientName)) {
    const { data } = results[name];
    const computed = floats(native[name]);
    const error = Math.hypot(...data.map((x, i) => x - computed[i]));
    // Softmax does not see what all keys have in common: the gradient of their bias is 0.
    assert.ok(error < 1e-3 * Math.max(Math.hypot(...data), 1e-2), `${name} is off by ${error}`);
  }
  const outputs: Record<string, Tensor> = {};
  for (const name of learned.names().map(gradientName)) {
    outputs[name] = toTensor(results[name], gradients.outputs[name]);
  }
  const [{ name }] = inputs;
  const bySample = outputs[gradientName(fakeQuantizationNames(name).scale)].data;
  const sums = learned.gradients(buckets, outputs).get(name)!;
  assert.deepEqual([...sums], [0, Math.fround(bySample[0] + bySample[1])]);
  learned.scales.get(name)![1] *= 1.5;
  const other = new LearnedScales(inputs, model);
  assert.notDeepEqual(other.tensors(), learned.tensors());
  other.restore(learned.tensors());
  assert.deepEqual(other.params(0, 1), learned.params(0, 1));
});

test('checkpointing rounds the weights of a block again, to the same gradients', async () => {
  const graph = tinyUNet(1);
  const { graph: prepared, inputs, weights } = prepare(graph, layers, { ranges: 'held' });
  const plain = differentiate(prepared, { outputs: ['sample'], withRespectTo: weights });
  const less = checkpoint(plain);
  const roundings = ({ nodes }: Graph) => nodes.filter((node) => isOp(node, 'fakeQuantize')).length;
  assert.ok(roundings(less) > 1.5 * roundings(plain));
  const ones = new Float32Array(elementCount(graph.outputs.sample.shape)).fill(1);
  const sources = {
    ...tinyInputs(graph, [900]),
    ...activationOperands(new MovingRanges(inputs, model, SETTINGS), [1]),
    'outputGradient:sample': f32(graph.outputs.sample.shape, ones),
  };
  assert.deepEqual(await evaluate(less, sources, tensors), await evaluate(plain, sources, tensors));
});

test('a quantized model of another graph is refused', () => {
  const graph = tinyUNet(1);
  const held = { ranges: 'held' } as const;
  const refusal = (other: ReadonlyMap<string, LayerParams>) => () => prepare(graph, other, held);
  assert.throws(refusal(new Map()), { code: 'invalid-argument', message: /quantize activations/ });
  const [, params] = [...layers][0];
  assert.throws(refusal(new Map([['nowhere', params]])), /has no layer nowhere/);
  const skip = [...layers].find(([, { skip: half }]) => half)!;
  assert.throws(refusal(new Map([[skip[0], { x: skip[1].x }]])), /one scale for its two inputs/);
  const { inputs } = prepare(graph, layers, held);
  assert.throws(
    () => new LearnedScales(inputs, { buckets: [{ ...model.buckets[0], layers: new Map() }] }),
    (error) => error instanceof BookendError && error.code === 'invalid-argument',
  );
});
