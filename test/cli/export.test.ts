import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { inFolder } from '../fuzz/in-folder.ts';
import { writeTinyModel } from '../golden/pipelines/tiny-models.ts';
import { messagesOf, numbersOf, readMessage, textsOf } from '../support/read-protobuf.ts';
import { runBookend } from './run-bookend.ts';

/** The names and shapes of a model file's inputs. */
function inputsOf(file: string): Record<string, number[]> {
  const [graph] = messagesOf(readMessage(readFileSync(file)), 7);
  return Object.fromEntries(
    messagesOf(graph, 11).map((input) => {
      const [type] = messagesOf(messagesOf(input, 2)[0], 1);
      const dims = messagesOf(messagesOf(type, 2)[0], 1).flatMap((dim) => numbersOf(dim, 1));
      return [textsOf(input, 1)[0], dims];
    }),
  );
}

test('export writes a U-Net in the size asked for', async () => {
  await inFolder(async (folder) => {
    const model = await writeTinyModel('sd', join(folder, 'sd'));
    const ddpm = await writeTinyModel('ddpm', join(folder, 'ddpm'));
    const [first, second] = [join(folder, 'a.onnx'), join(folder, 'b.onnx')];
    const [conditional, other] = await Promise.all([
      runBookend(['export', model, '--out', first, '--size', '32x16', '--batch', '3']),
      runBookend(['export', ddpm, '-o', second, '--json']),
    ]);
    assert.equal(conditional.status, 0, conditional.stderr);
    assert.equal(conditional.stdout, `${first}\n${first}.data\n`);
    const shapes = { sample: [3, 2, 4, 4], timestep: [3], encoderHiddenStates: [3, 77, 16] };
    assert.deepEqual(inputsOf(first), shapes);
    assert.equal(other.status, 0, other.stderr);
    assert.equal(other.json().data, `${second}.data`);
    assert.deepEqual(Object.keys(inputsOf(second)), ['sample', 'timestep']);
  });
});

test('export refuses what it cannot write, and writes nothing', async () => {
  await inFolder(async (folder) => {
    const model = await writeTinyModel('sd', join(folder, 'sd'));
    const out = ['--out', join(folder, 'x.onnx')];
    const refusals: [string[], number, RegExp][] = [
      [['--out', join(folder, 'x.bin')], 2, /ends in \.onnx/],
      [[...out, '--precision', 'int8'], 2, /is not quantized.*bookend quantize/],
      [[...out, '--timestep-bucket', '1'], 2, /INT8 alone/],
      [[...out, '--size', '33x32'], 2, /33 pixels/],
      [['--out', join(folder, 'none', 'x.onnx')], 1, /none/],
    ];
    for (const [args, status, says] of refusals) {
      const run = await runBookend(['export', model, ...args]);
      assert.equal(run.status, status, run.stderr);
      assert.match(run.stderr, says);
    }
    assert.deepEqual(readdirSync(folder), ['sd']);
  });
});

test('export of a quantized model: one set of scales, s8 weights', async () => {
  await inFolder(async (folder) => {
    const [model, out] = [join(folder, 'int8'), join(folder, 'x.onnx')];
    const tiny = await writeTinyModel('sd', join(folder, 'sd'));
    const few = ['--samples', '1', '--steps', '2', '--buckets', '2'];
    const quantized = await runBookend(['quantize', tiny, '--out', model, ...few]);
    assert.equal(quantized.status, 0, quantized.stderr);
    const exporting = ['export', model, '--out', out, '--precision', 'int8'];
    const none = await runBookend([...exporting, '--timestep-bucket', '2']);
    assert.equal(none.status, 2);
    assert.match(none.stderr, /no timestep bucket 2; choose from 0 to 1/);
    const run = await runBookend(exporting);
    assert.equal(run.status, 0, run.stderr);
    assert.match(run.stderr, /timesteps 500 to 999, bucket 1 of 0 to 1/);
    const file = readMessage(readFileSync(out));
    const metadata = messagesOf(file, 14).map((entry) => [
      textsOf(entry, 1)[0],
      textsOf(entry, 2)[0],
    ]);
    assert.deepEqual(Object.fromEntries(metadata), {
      'bookend.precision': 'int8',
      'bookend.timesteps': '500-999',
    });
    const [graph] = messagesOf(file, 7);
    const types = messagesOf(graph, 1).flatMap((node) => textsOf(node, 4));
    const count = (type: string) => types.filter((each) => each === type).length;
    const S8 = 3;
    const tensors = messagesOf(graph, 5);
    const weights = tensors.filter((tensor) => numbersOf(tensor, 2)[0] === S8);
    assert.ok(weights.length > 10);
    assert.ok(count('QuantizeLinear') > 10);
    assert.ok(count('DequantizeLinear') >= count('QuantizeLinear') + weights.length);
  });
});
