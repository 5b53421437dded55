import assert from 'node:assert/strict';
import { truncateSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ARENA_BYTES, CONV, makeDescription } from '../../../test/support/native-description.ts';
import type { Conv2dFields } from '../../compiler/instructions.ts';
import { TorchGenerator } from '../../core/rng.ts';
import { loadAddon } from './loader.ts';

const addon = loadAddon();

function hasCode(error: unknown): boolean {
  return error instanceof Error && typeof (error as { code?: unknown }).code === 'string';
}

test('a program of every instruction runs', async () => {
  const good = await makeDescription();
  const program = addon.createProgram(good);
  assert.equal(addon.describeProgram(program).kernels.length, good.instructions.length);
  const { promise } = addon.run(
    program,
    addon.createArena(),
    [new Float32Array(120)],
    'instructions',
  );
  const { outputs, seconds } = await promise;
  assert.equal(outputs[0].byteLength, 640);
  assert.equal(seconds!.length, good.instructions.length);
});

/** 2^93 output pixels. */
const ENDLESS: Conv2dFields = {
  ...CONV,
  batch: 2 ** 31,
  height: 2 ** 31,
  width: 2 ** 31,
  outHeight: 2 ** 31,
  outWidth: 2 ** 31,
};

const HOSTILE: readonly unknown[] = [
  undefined,
  null,
  Number.NaN,
  -1,
  0,
  0.5,
  2 ** 20,
  2 ** 31,
  2 ** 53,
  Number.POSITIVE_INFINITY,
  '',
  'bf16',
  's8',
  'amx2',
  [],
  [0, 0, 0, 0],
  [2 ** 31, 2 ** 31, 2 ** 31, 2 ** 31],
  {},
  { arena: ARENA_BYTES - 4 },
  { arena: 2 ** 40 },
  { buffer: {} },
  { buffer: null },
  true,
  Symbol('hostile'),
  10n,
];

test('no field of a description can crash the process', async () => {
  const good = await makeDescription();
  const arena = addon.createArena();
  let refused = 0;
  let accepted = 0;
  for (const [i, instruction] of good.instructions.entries()) {
    for (const field of Object.keys(instruction)) {
      for (const value of HOSTILE) {
        const instructions = good.instructions.with(i, { ...instruction, [field]: value });
        try {
          const program = addon.createProgram({ ...good, instructions });
          await addon.run(program, arena, [new Float32Array(120)], 'nothing').promise;
          accepted++;
        } catch (error) {
          assert.ok(hasCode(error) || error instanceof TypeError, `${field}: ${error}`);
          refused++;
        }
      }
    }
  }
  assert.ok(refused > 10 * accepted, `${refused} refused, ${accepted} accepted`);
});

test('random sizes never lead out of the arena unnoticed', async () => {
  const good = await makeDescription();
  const arena = addon.createArena();
  const random = new TorchGenerator(3);
  const sizes = [0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 63, 100, 1000];
  for (let round = 0; round < 4000; round++) {
    const [which, where, size, second] = random.uniformFloat32(4);
    const i = Math.floor(which * good.instructions.length);
    const instruction = { ...good.instructions[i] };
    const numbers = Object.keys(instruction).filter((f) => typeof instruction[f] === 'number');
    for (const draw of [where, second]) {
      const field = numbers[Math.floor(draw * numbers.length)];
      instruction[field] = sizes[Math.floor(size * sizes.length)];
    }
    try {
      const instructions = good.instructions.with(i, instruction);
      const program = addon.createProgram({ ...good, instructions });
      await addon.run(program, arena, [new Float32Array(120)], 'nothing').promise;
    } catch (error) {
      assert.ok(hasCode(error), String(error));
    }
  }
});

test('descriptions, handles and inputs of the wrong kind are errors', async () => {
  const good = await makeDescription();
  const program = addon.createProgram(good);
  const arena = addon.createArena();
  const input = new Float32Array(120);
  const calls: readonly (() => unknown)[] = [
    () => addon.createProgram(undefined as never),
    () => addon.createProgram({} as never),
    () => addon.createProgram({ ...good, threads: 0 }),
    () => addon.createProgram({ ...good, threads: 1e9 }),
    () => addon.createProgram({ ...good, arenaBytes: 4096 }),
    () => addon.createProgram({ ...good, isa: 'mmx' as never }),
    () => addon.createProgram({ ...good, instructions: [1] as never }),
    () => addon.createProgram({ ...good, inputs: [{ arena: ARENA_BYTES, bytes: 1 }] }),
    () => addon.createProgram({ ...good, outputs: [{ arena: -1, bytes: 1 }] }),
    () => addon.run({} as never, arena, [input], 'nothing'),
    () => addon.run(arena as never, program as never, [input], 'nothing'),
    () => addon.run(program, arena, [], 'nothing'),
    () => addon.run(program, arena, [new Float32Array(119)], 'nothing'),
    () => addon.run(program, arena, [{}] as never, 'nothing'),
    () => addon.run(program, arena, undefined as never, 'nothing'),
    () => addon.releaseBuffer(arena as never),
    () => addon.releaseArena(program as never),
    () => addon.releaseProgram(null as never),
    () => addon.describeProgram('program' as never),
    () => addon.planPacking({} as never, 'scalar'),
    () => addon.planPacking(ENDLESS, 'scalar'),
    () => addon.packWeights(CONV, 'scalar', { dtype: 's32', data: new Int32Array(360) }),
    () => addon.packWeights(CONV, 'scalar', { dtype: 'f32', data: new Float32Array(1) }),
    () => addon.packWeights({ ...CONV, outChannels: 2 ** 31 }, 'scalar', {} as never),
    () => addon.loadVector({ dtype: 'f32', data: new Float32Array(4) }, 's32', 4),
    () => addon.loadVector({ dtype: 'f32', data: new Float32Array(4) }, 'f32', 5),
    () => addon.loadVector(null as never, 'f32', 5),
    () => addon.createFloats(0),
    () => addon.createFloats('1' as never),
  ];
  for (const call of calls) assert.throws(call, hasCode, String(call));
});

test('instructions write to arrays, and to no weight', async () => {
  const good = await makeDescription();
  const { buffer, array } = addon.createFloats(110);
  const bias = await addon.loadVector({ dtype: 'f32', data: new Float32Array(110) }, 'f32', 110);
  const unary = good.instructions.find(({ kind }) => kind === 'gelu')!;
  const create = (out: object) =>
    addon.createProgram({ ...good, instructions: [{ ...unary, kind: 'exp', out }] });
  const program = create({ buffer, offset: 40 });
  addon.releaseBuffer(buffer);
  await addon.run(program, addon.createArena(), [new Float32Array(120)], 'nothing').promise;
  assert.deepEqual(array, new Float32Array(110).fill(1, 10));
  assert.throws(() => create({ buffer: bias }), /out is a weight buffer/);
  const { buffer: other } = addon.createFloats(110);
  assert.throws(() => create({ buffer: other, offset: 44 }), /out needs 400 bytes at 44/);
  assert.throws(() => create({ buffer: other, offset: 2 }), /starts inside an element/);
  const optimizer = ['sum', 'parameter', 'first', 'second', 'average', 'out'];
  for (const instruction of good.instructions.slice(-4, -1)) {
    for (const name of optimizer.filter((operand) => operand in instruction)) {
      const spoilt = { ...instruction, [name]: { buffer: bias } };
      const creating = () => addon.createProgram({ ...good, instructions: [spoilt] });
      assert.throws(creating, new RegExp(`${name} is a weight buffer`));
    }
  }
  const sums = { ...good.instructions.at(-4)!, out: { arena: 4 } };
  assert.throws(() => addon.createProgram({ ...good, instructions: [sums] }), /double can lie/);
});

test('a copy that would write elements again and again is refused', async () => {
  const good = await makeDescription();
  const copy = good.instructions.find(({ op }) => op === 'copy')!;
  for (const size of [2, 2 ** 12, 2 ** 31]) {
    const extent = [size, size, size, 2, 3, 4];
    assert.throws(() => addon.createProgram({ ...good, instructions: [{ ...copy, extent }] }), {
      message: size < 2 ** 31 ? /outStride leads to the same element/ : /extent would be larger/,
    });
  }
});

test('axes may be as long as memory', async () => {
  const good = await makeDescription();
  const binary = good.instructions.find(({ op }) => op === 'binary')!;
  const stride = [0, 0, 0, 1];
  const long = { ...binary, extent: [1, 1, 1, 2 ** 33], aStride: stride, bStride: stride };
  const arenaBytes = 2 ** 36;
  const program = addon.createProgram({ ...good, arenaBytes, instructions: [long] });
  assert.equal(addon.describeProgram(program).kernels.length, 1);
});

test('weights packed for another problem are refused', async () => {
  const good = await makeDescription();
  const other = { ...CONV, channels: 2, skipChannels: 3 };
  const weight = { dtype: 'f32', data: new Float32Array(8 * 5 * 9) } as const;
  const buffer = await addon.packWeights(other, 'scalar', weight);
  const instruction = { ...good.instructions[0], weights: { buffer } };
  assert.throws(
    () => addon.createProgram({ ...good, instructions: [instruction] }),
    /Instruction 0 \(conv2d\): weights is not packed as/,
  );
});

test('plain weights and strided sources that leave their memory are refused', async () => {
  const good = await makeDescription();
  const [conv] = good.instructions;
  const arena = (fields: object) =>
    addon.createProgram({
      ...good,
      instructions: [{ ...conv, ...fields, weights: { arena: ARENA_BYTES - 4096 } } as typeof conv],
    });
  const turned = false;
  const view = (...weightView: number[]) => ({ weightView, turned });
  arena(view(0, 45, 9, 3, 1));
  arena({ ...view(0, 45, 9, 3, 1), turned: true });
  assert.throws(() => arena(view(700, 45, 9, 3, 1)), /weights needs 4240 bytes/);
  assert.throws(() => arena(view(0, 145, 9, 3, 1)), /weights needs/);
  assert.throws(() => arena(view(0, 45, 9, 3)), /weightView is not an array of 5 numbers/);
  assert.throws(() => arena(view(0, 45, 9, 3, -1)), /weightView holds something else/);
  assert.throws(() => arena({ weightView: [0, 45, 9, 3, 1] }), /turned is missing/);
  const plain = view(0, 45, 9, 3, 1);
  assert.throws(() => arena({ ...plain, xStrides: [40960, 12, 3] }), /x needs/);
  assert.throws(() => arena({ ...plain, xStrides: [60, 12, 0] }), /keep pixels in one place/);
  assert.throws(() => arena({ ...plain, insertion: 0 }), /insertion is/);
  assert.throws(() => arena({ ...plain, upsample: 2, insertion: 2 }), /has no kernel/);
  const problem = { ...CONV, weightView: [0, 45, 9, 3, 1] as Conv2dFields['weightView'], turned };
  const weight = { dtype: 'f32', data: new Float32Array(8 * 5 * 9) } as const;
  assert.throws(() => addon.packWeights(problem, 'scalar', weight), /packed whenever/);
});

test('a file that becomes shorter while weights are read from it is an error', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'bookend-addon-'));
  try {
    const path = join(folder, 'weights.bin');
    const byteLength = 2 ** 24;
    writeFileSync(path, '');
    truncateSync(path, byteLength);
    const source = { dtype: 'f32', path, byteOffset: 0, byteLength } as const;
    const loads = Array.from({ length: 16 }, () => addon.loadVector(source, 'f32', byteLength / 4));
    truncateSync(path, 4096);
    const results = await Promise.allSettled(loads);
    const refused = results.filter((result) => result.status === 'rejected');
    assert.ok(refused.length > 0);
    for (const { reason } of refused) {
      assert.equal(reason.code, 'io');
      assert.match(reason.message, /became shorter while it was read|too few for/);
    }
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('a getter that changes its answer cannot change what was checked', async () => {
  const bytes = new Int8Array(360).fill(1);
  const answers = ['f32', 's8', 's8', 's8'] as const;
  for (const load of [
    (source: never) => addon.packWeights(CONV, 'scalar', source),
    (source: never) => addon.loadVector(source, 'f32', 360),
  ]) {
    let asked = 0;
    const source = {
      get dtype() {
        return answers[asked++];
      },
      data: bytes,
    };
    assert.throws(() => load(source as never), /360 bytes; expected 1440/);
  }
});

test('weights come from regular files alone', async () => {
  const source = { dtype: 'f32', path: tmpdir(), byteOffset: 0, byteLength: 4 } as const;
  await assert.rejects(addon.loadVector(source, 'f32', 1), /is not a regular file/);
});

test('what has been released is refused, and what still runs lives on', async () => {
  const good = await makeDescription();
  const program = addon.createProgram(good);
  const arena = addon.createArena();
  const { promise } = addon.run(program, arena, [new Float32Array(120)], 'nothing');
  addon.releaseProgram(program);
  addon.releaseArena(arena);
  assert.equal((await promise).outputs.length, 1);
  assert.throws(() => addon.run(program, arena, [new Float32Array(120)], 'nothing'), /released/);
});
