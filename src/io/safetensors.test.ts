import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { inFolder } from '../../test/fuzz/in-folder.ts';
import { f32, type Tensor } from '../core/tensor.ts';
import { writeAtomically } from './atomic-write.ts';
import { openCheckpoint } from './checkpoint.ts';
import { openSafetensors, writeSafetensors } from './safetensors.ts';

const GOLDEN = fileURLToPath(new URL('../../test/golden/io/', import.meta.url));

const sample: [string, Tensor][] = [
  ['bytes', { dtype: 'u8', shape: [3], data: Uint8Array.of(1, 2, 255) }],
  ['half', { dtype: 'bf16', shape: [1, 2], data: Uint16Array.of(0x3f80, 0xc000) }],
  ['single', f32([2, 2], [1, -2, 3.5, Number.POSITIVE_INFINITY])],
  ['integer', { dtype: 's32', shape: [], data: Int32Array.of(-7) }],
];

test('what is written is read back, with metadata, aligned in the file', async () => {
  await inFolder(async (folder) => {
    const path = join(folder, 'a.safetensors');
    await writeSafetensors(path, sample, { made: 'here' });
    const source = await openCheckpoint(path);
    assert.deepEqual(source.metadata, { made: 'here' });
    assert.deepEqual(source.names().sort(), ['bytes', 'half', 'integer', 'single']);
    for (const [name, expected] of sample) assert.deepEqual(await source.read(name), expected);
    const { byteOffset, byteLength, dtype } = source.locate('single');
    assert.equal(byteOffset % 4, 0);
    assert.equal(dtype, 'F32');
    const raw = (await readFile(path)).subarray(byteOffset, byteOffset + byteLength);
    assert.deepEqual(await source.readBytes('single'), new Uint8Array(raw));
    await source.close();
    assert.deepEqual(await readdir(folder), ['a.safetensors']);
  });
});

test('a file of the safetensors library is read, F64 as f32', async () => {
  const source = await openCheckpoint(join(GOLDEN, 'every-dtype.safetensors'));
  try {
    for (const name of ['F64', 'F32', 'F16', 'BF16', 'I32', 'I8', 'U8']) {
      const { shape, data } = await source.read(name);
      assert.deepEqual(shape, [2, 3], name);
      const numbers = { F16: [0x3c00, 0x4000], BF16: [0x3f80, 0x4000] }[name] ?? [1, 2];
      assert.deepEqual([...data.subarray(0, 2)], numbers, name);
    }
    await assert.rejects(source.read('I64'), { code: 'unsupported', message: /stored as I64/ });
    assert.equal((await source.readBytes('I64')).length, 48);
    await assert.rejects(source.read('F8_E4M3'), { code: 'unsupported' });
    assert.throws(() => source.locate('nope'), { code: 'missing-tensor', message: /"nope"/ });
  } finally {
    await source.close();
  }
});

test('every truncation and extension of a file is refused', async () => {
  await inFolder(async (folder) => {
    const path = join(folder, 'a.safetensors');
    await writeSafetensors(path, sample);
    const whole = await readFile(path);
    for (let length = 0; length < whole.length; length++) {
      await writeFile(path, whole.subarray(0, length));
      await assert.rejects(openSafetensors(path), { code: 'invalid-checkpoint' }, `${length}`);
    }
    await writeFile(path, Buffer.concat([whole, Buffer.alloc(1)]));
    await assert.rejects(openSafetensors(path), /tensors end at byte/);
  });
});

test('a file that shrinks after it was opened gives an error, not garbage', async () => {
  await inFolder(async (folder) => {
    const path = join(folder, 'a.safetensors');
    await writeSafetensors(path, sample);
    const source = await openCheckpoint(path);
    await truncate(path, 20);
    await assert.rejects(source.read('single'), { code: 'invalid-checkpoint', message: /shorter/ });
    await source.close();
  });
});

test('pickles, folders and missing files are refused by name', async () => {
  await inFolder(async (folder) => {
    await assert.rejects(openSafetensors('model.ckpt'), {
      code: 'unsupported',
      message: /pickle.*convert it.*"model\.safetensors"/,
    });
    await assert.rejects(openSafetensors(join(folder, 'none.safetensors')), { code: 'not-found' });
    await assert.rejects(openSafetensors(folder), { code: 'io', message: /folder/ });
    await assert.rejects(openSafetensors('/dev/zero'), { code: /io|not-found/ });
  });
});

test('a failed write leaves the old file and nothing else', async () => {
  await inFolder(async (folder) => {
    const path = join(folder, 'a.bin');
    await writeFile(path, 'old');
    const full = Object.assign(new Error('write failed'), { code: 'ENOSPC' });
    await assert.rejects(
      writeAtomically(path, async (handle) => {
        await handle.write(Buffer.from('new'));
        throw full;
      }),
      { code: 'io', message: /the disk is full/ },
    );
    assert.equal(await readFile(path, 'utf8'), 'old');
    assert.deepEqual(await readdir(folder), ['a.bin']);
  });
});

test('unwritable targets give one sentence', async () => {
  await inFolder(async (folder) => {
    await mkdir(join(folder, 'taken'));
    await writeFile(join(folder, 'file'), '');
    const write = (name: string) => writeSafetensors(join(folder, name), sample);
    await assert.rejects(write('taken'), { code: 'io', message: /a folder is in its place/ });
    await assert.rejects(write('none/a'), { code: 'io', message: /does not exist/ });
    await assert.rejects(write('file/a'), { code: 'io', message: /not a folder/ });
    await assert.rejects(writeSafetensors(join(folder, 'b'), [sample[0], sample[0]]), {
      code: 'invalid-argument',
    });
    assert.deepEqual((await readdir(folder)).sort(), ['file', 'taken']);
  });
});
