import assert from 'node:assert/strict';
import { symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { inFolder } from '../../test/fuzz/in-folder.ts';
import { f32 } from '../core/tensor.ts';
import { openCheckpoint } from './checkpoint.ts';
import { writeSafetensors } from './safetensors.ts';

async function writeShards(folder: string, weightMap: Record<string, unknown>, name?: string) {
  await writeSafetensors(join(folder, 'model-1.safetensors'), [['a', f32([1], [1])]]);
  await writeSafetensors(join(folder, 'model-2.safetensors'), [['b', f32([1], [2])]]);
  const index = JSON.stringify({ metadata: {}, weight_map: weightMap });
  await writeFile(join(folder, name ?? 'model.safetensors.index.json'), index);
}

test('a sharded folder reads as one checkpoint', async () => {
  await inFolder(async (folder) => {
    await writeShards(folder, { b: 'model-2.safetensors', a: 'model-1.safetensors' });
    const source = await openCheckpoint(folder);
    assert.deepEqual(source.names(), ['b', 'a']);
    assert.equal((await source.read('b')).data[0], 2);
    assert.equal(source.locate('a').path, join(folder, 'model-1.safetensors'));
    await source.close();
    const direct = await openCheckpoint(join(folder, 'model.safetensors.index.json'));
    assert.equal((await direct.read('a')).data[0], 1);
    await direct.close();
  });
});

test('the variant decides between files, and is never replaced by another', async () => {
  await inFolder(async (folder) => {
    const write = (name: string, value: number) =>
      writeSafetensors(join(folder, name), [['a', f32([1], [value])]]);
    await write('diffusion_pytorch_model.fp16.safetensors', 16);
    await assert.rejects(openCheckpoint(folder), {
      code: 'not-found',
      message: /none of diffusion_pytorch_model\.safetensors.*but diffusion_pytorch_model\.fp16/,
    });
    await write('diffusion_pytorch_model.safetensors', 32);
    for (const [variant, value] of [
      ['fp16', 16],
      [undefined, 32],
    ] as const) {
      const source = await openCheckpoint(folder, { variant });
      assert.equal((await source.read('a')).data[0], value);
      await source.close();
    }
    await assert.rejects(openCheckpoint(folder, { variant: 'bf16' }), { code: 'not-found' });
    await writeShards(folder, { b: 'model-2.safetensors' }, 'model.safetensors.index.ema.json');
    const ema = await openCheckpoint(folder, { variant: 'ema' });
    assert.deepEqual(ema.names(), ['b']);
    await ema.close();
  });
});

test('an index cannot name files outside its folder', async () => {
  for (const shard of [
    '../x.safetensors',
    '/etc/x.safetensors',
    'a/b.safetensors',
    'a\\b.safetensors',
    '..',
    'x.bin',
    '.x.safetensors',
    7,
    null,
  ]) {
    await inFolder(async (folder) => {
      await writeShards(folder, { a: shard });
      await assert.rejects(openCheckpoint(folder), {
        code: 'invalid-checkpoint',
        message: /not the name of a safetensors file in the same folder/,
      });
    });
  }
});

test('shards may be links, as in the cache of the hub', async () => {
  await inFolder(async (folder) => {
    await writeSafetensors(join(folder, 'blob.safetensors'), [['a', f32([1], [5])]]);
    await symlink('blob.safetensors', join(folder, 'model.safetensors'));
    const source = await openCheckpoint(folder);
    assert.equal((await source.read('a')).data[0], 5);
    await source.close();
  });
});

test('an index that promises more than its shards hold is refused', async () => {
  await inFolder(async (folder) => {
    await writeShards(folder, { a: 'model-2.safetensors' });
    await assert.rejects(openCheckpoint(folder), /promises tensor "a" in model-2/);
    await writeShards(folder, { a: 'model-3.safetensors' });
    await assert.rejects(openCheckpoint(folder), { code: 'not-found' });
    await writeShards(folder, {});
    await assert.rejects(openCheckpoint(folder), { code: 'invalid-checkpoint' });
    await writeFile(join(folder, 'model.safetensors.index.json'), '{"weight_map": [');
    await assert.rejects(openCheckpoint(folder), /not valid JSON/);
  });
});

test('a folder with pickles alone says how to convert them', async () => {
  await inFolder(async (folder) => {
    await writeFile(join(folder, 'pytorch_model.bin'), '');
    await assert.rejects(openCheckpoint(folder), { code: 'unsupported', message: /pickle/ });
  });
});
