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
