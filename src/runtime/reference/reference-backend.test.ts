import assert from 'node:assert/strict';
import { test } from 'node:test';
import { graphOf } from '../../../test/support/graphs.ts';
import { castTensor, f32, type Tensor, tensor } from '../../core/tensor.ts';
import * as ops from '../../ir/ops/index.ts';
import { memoryWeights } from '../memory-weights.ts';
import { referenceBackend } from './reference-backend.ts';

const graph = graphOf((b) => {
  const x = b.input('x', 'f32', [1, 2]);
  const y = ops.linear(b, x, b.parameter('weight', [2, 2]), b.parameter('bias', [2]));
  return { y, ids: b.input('ids', 's32', [2]) };
});
const stored = new Map<string, Tensor>([
  ['weight', castTensor(f32([2, 2], [1, 2, 3, 4]), 'bf16')],
  ['bias', f32([2], [0.5, -0.5])],
]);
const inputs = { x: f32([1, 2], [1, 1]), ids: tensor('s32', [2], Int32Array.of(7, -7)) };

test('a graph runs on weights of another storage type and gives typed tensors', async () => {
  const executable = await referenceBackend.compile(graph, memoryWeights(stored));
  const results = await executable.run(inputs);
  assert.deepEqual([...results.y.data], [3.5, 6.5]);
  assert.equal(results.y.dtype, 'f32');
  assert.deepEqual(results.ids.data, Int32Array.of(7, -7));
  executable.dispose();
  await assert.rejects(executable.run(inputs), { code: 'invalid-argument' });
});

test('roundToDType rounds what bf16 cannot hold, and by default nothing is', async () => {
  const rounding = graphOf((b) => {
    const x = b.input('x', 'f32', [1]);
    return { y: ops.cast(b, ops.cast(b, x, 'bf16'), 'f32') };
  });
  const x = f32([1], [1 + 2 ** -9 + 2 ** -12]);
  const none = memoryWeights(new Map());
  const run = async (roundToDType: boolean) =>
    (await (await referenceBackend.compile(rounding, none, { roundToDType })).run({ x })).y.data[0];
  assert.equal(await run(true), 1);
  assert.equal(await run(false), x.data[0]);
});

test('weights that are missing or mis-shaped are refused before anything runs', async () => {
  const without = new Map([...stored].filter(([name]) => name !== 'bias'));
  await assert.rejects(referenceBackend.compile(graph, memoryWeights(without)), {
    code: 'missing-tensor',
    message: /no tensor bias/,
  });
  const wrong = new Map([...stored, ['bias', f32([3], [1, 2, 3])]]);
  await assert.rejects(referenceBackend.compile(graph, memoryWeights(wrong)), {
    code: 'invalid-checkpoint',
    message: /bias has the shape \[3\]/,
  });
});

test('inputs that are missing, unknown or mis-shaped are refused', async () => {
  const executable = await referenceBackend.compile(graph, memoryWeights(stored));
  const { ids } = inputs;
  const message = { missing: /without its input x/, unknown: /no input named z/, shape: /x of/ };
  const code = 'invalid-argument';
  await assert.rejects(executable.run({ ids }), { code, message: message.missing });
  await assert.rejects(executable.run({ ...inputs, z: ids }), { code, message: message.unknown });
  await assert.rejects(executable.run({ ...inputs, x: ids }), { code, message: message.shape });
});

test('a signal stops the run between two nodes', async () => {
  const chain = graphOf((b) => {
    let x = b.input('x', 'f32', [1]);
    for (let i = 0; i < 1000; i++) x = ops.tanh(b, x);
    return { x };
  });
  const executable = await referenceBackend.compile(chain, memoryWeights(new Map()));
  const controller = new AbortController();
  const running = executable.run({ x: f32([1], [1]) }, { signal: controller.signal });
  setImmediate(() => controller.abort());
  await assert.rejects(running, { code: 'aborted' });
});
