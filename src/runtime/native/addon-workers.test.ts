import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

/** A worker that has the addon as `addon`, and a program of `instructions` on `count` numbers. */
function startWorker(code: string, { count, instructions }: Record<string, number>): Worker {
  const start = `
    const { parentPort, workerData } = require('node:worker_threads');
    import(workerData.loader).then(async ({ loadAddon }) => {
      const addon = loadAddon();
      const { count, instructions } = workerData;
      const unary = { op: 'unary', kind: 'gelu', count, scale: 1, offset: 0, input: 'f32', output: 'f32', x: { arena: 0 }, out: { arena: 0 } };
      const whole = [{ arena: 0, bytes: 4 * count }];
      const program = addon.createProgram({ isa: 'scalar', threads: 2, arenaBytes: 4 * count, instructions: new Array(instructions).fill(unary), inputs: whole, outputs: whole });
      const arena = addon.createArena();
      const x = new Float32Array(count);
      ${code}
    });`;
  const loader = new URL('./loader.ts', import.meta.url).href;
  return new Worker(start, { eval: true, workerData: { loader, count, instructions } });
}

function nextMessage(worker: Worker): Promise<unknown> {
  return new Promise((resolve, reject) => {
    worker.once('message', resolve).once('error', reject);
  });
}

test('a worker that ends in the middle of a run takes nothing with it', async () => {
  const code = `
      addon.run(program, arena, [x], 'nothing').promise.catch(() => undefined);
      parentPort.postMessage('running');`;
  const worker = startWorker(code, { count: 2 ** 20, instructions: 10000 });
  await nextMessage(worker);
  assert.equal(typeof (await worker.terminate()), 'number');
});

test('a worker that ends while results come in takes nothing with it', async () => {
  const code = `
      const turn = async () => {
        for (;;) {
          const loading = addon.loadVector({ dtype: 'f32', data: x }, 'bf16', count);
          await Promise.all([addon.run(program, arena, [x], 'instructions').promise, loading]);
          parentPort.postMessage('turned');
        }
      };
      for (let i = 0; i < 20; i++) turn();`;
  for (let round = 0; round < 12; round++) {
    const worker = startWorker(code, { count: 2 ** 10, instructions: 1 });
    await nextMessage(worker);
    await setTimeout(round % 6);
    assert.equal(typeof (await worker.terminate()), 'number');
  }
});
