import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { inFolder } from '../../test/fuzz/in-folder.ts';
import { filesBelow, linkFile } from './link-files.ts';

test('files are linked, through symbolic links, over what was there', async () => {
  await inFolder(async (folder) => {
    await writeFile(join(folder, 'a'), 'content');
    await symlink('a', join(folder, 'b'));
    const target = join(folder, 'deep/er/c');
    await linkFile(join(folder, 'b'), target);
    assert.equal((await stat(target)).ino, (await stat(join(folder, 'a'))).ino);
    await writeFile(join(folder, 'other'), 'new');
    await linkFile(join(folder, 'other'), target);
    await linkFile(join(folder, 'other'), target);
    assert.equal(await readFile(target, 'utf8'), 'new');
    assert.equal(await readFile(join(folder, 'a'), 'utf8'), 'content');
    assert.deepEqual(await readdir(join(folder, 'deep/er')), ['c']);
    await assert.rejects(linkFile(join(folder, 'none'), target), { code: 'io' });
    assert.deepEqual(await readdir(join(folder, 'deep/er')), ['c']);
  });
});

test('files below a folder are listed in order, with what links lead to', async () => {
  await inFolder(async (folder) => {
    await mkdir(join(folder, 'x/y'), { recursive: true });
    for (const name of ['z', 'x/b', 'x/y/a']) await writeFile(join(folder, name), '');
    await symlink('z', join(folder, 'link'));
    assert.deepEqual(await filesBelow(folder), ['link', 'x/b', 'x/y/a', 'z']);
    await assert.rejects(filesBelow(join(folder, 'none')), { code: 'not-found' });
  });
});
