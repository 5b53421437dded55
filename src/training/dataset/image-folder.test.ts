import assert from 'node:assert/strict';
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { inFolder } from '../../../test/fuzz/in-folder.ts';
import { openImageFolder } from './image-folder.ts';

/** Makes files; contents of images do not matter here. */
async function fill(folder: string, files: Readonly<Record<string, string | Uint8Array>>) {
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), content);
  }
}

const jsonLines = (...entries: unknown[]) => entries.map((e) => JSON.stringify(e)).join('\n');

test('texts beside images are found in subfolders, in an order without a locale', async () => {
  await inFolder(async (folder) => {
    await fill(folder, {
      'b.png': '',
      'b.txt': ' a cat\n',
      'B.JPG': '',
      'B.txt': '\uFEFFa dog',
      'sub/a.webp': '',
      'sub/a.txt': '',
      'notes.md': 'not an image',
      '.hidden.png': '',
    });
    const { samples, pathOf } = await openImageFolder(folder);
    assert.deepEqual(samples, [
      { name: 'B.JPG', caption: 'a dog' },
      { name: 'b.png', caption: 'a cat' },
      { name: 'sub/a.webp', caption: '' },
    ]);
    assert.ok((await pathOf(samples[2])).endsWith(join('sub', 'a.webp')));
  });
});

test('metadata.jsonl gives the order and the captions', async () => {
  await inFolder(async (folder) => {
    const lines = jsonLines(
      { file_name: 'z.png', text: 'one', width: 3 },
      { file_name: 'sub/a.png', text: ' two ' },
      { file_name: 'z.png', text: 'another of the first' },
    );
    await fill(folder, {
      'metadata.jsonl': `\uFEFF${lines.replaceAll('\n', '\r\n\r\n')}\n`,
      'z.png': '',
      'sub/a.png': '',
      'unlisted.png': '',
    });
    const { samples } = await openImageFolder(folder);
    assert.deepEqual(samples, [
      { name: 'z.png', caption: 'one' },
      { name: 'sub/a.png', caption: 'two' },
      { name: 'z.png', caption: 'another of the first' },
    ]);
  });
});

const HOSTILE: Record<string, string> = {
  'a path upwards': jsonLines({ file_name: '../secret.png', text: '' }),
  'a path that goes down and up': jsonLines({ file_name: 'sub/../../secret.png', text: '' }),
  'an absolute path': jsonLines({ file_name: '/etc/passwd', text: '' }),
  'a drive': jsonLines({ file_name: 'C:secret.png', text: '' }),
  backslashes: jsonLines({ file_name: '..\\secret.png', text: '' }),
  'a zero byte': jsonLines({ file_name: 'a\0.png', text: '' }),
  'no name': jsonLines({ text: 'x' }),
  'no text': jsonLines({ file_name: 'a.png' }),
  'a text that is a number': jsonLines({ file_name: 'a.png', text: 3 }),
  'a caption of 70,000 letters': jsonLines({ file_name: 'a.png', text: 'x'.repeat(70_000) }),
  'a list': '[]',
  'no JSON': '{"file_name": "a.png"',
};

for (const [what, line] of Object.entries(HOSTILE)) {
  test(`${what} in metadata.jsonl is refused with its line`, async () => {
    await inFolder(async (folder) => {
      const sound = jsonLines({ file_name: 'a.png', text: 'sound' });
      await fill(folder, { 'metadata.jsonl': `${sound}\n${line}`, 'a.png': '' });
      await assert.rejects(openImageFolder(folder), {
        code: 'invalid-argument',
        message: /^Line 2 of \S+metadata\.jsonl is .{0,200}; it must be .*\.$/,
      });
    });
  });
}

test('links stay inside the folder', async () => {
  await inFolder(async (outer) => {
    const folder = join(outer, 'data');
    await fill(outer, { 'secret.txt': 'key', 'secret.png': '', 'data/real.png': '' });
    await fill(folder, { 'real.txt': 'a cat' });
    await symlink('real.png', join(folder, 'link.png'));
    await symlink('real.txt', join(folder, 'link.txt'));
    const { samples, pathOf } = await openImageFolder(folder);
    assert.deepEqual(samples[0], { name: 'link.png', caption: 'a cat' });
    assert.ok((await pathOf(samples[0])).endsWith('real.png'));

    const leads = { code: 'invalid-argument', message: /link that leads out/ };
    await rm(join(folder, 'link.txt'));
    await symlink('../secret.txt', join(folder, 'link.txt'));
    await assert.rejects(openImageFolder(folder), leads);
    await fill(folder, { 'metadata.jsonl': jsonLines({ file_name: 'out.png', text: '' }) });
    await symlink('../secret.png', join(folder, 'out.png'));
    await assert.rejects(openImageFolder(folder), leads);
    await rm(join(folder, 'metadata.jsonl'));
    await symlink('../secret.txt', join(folder, 'metadata.jsonl'));
    await assert.rejects(openImageFolder(folder), leads);
  });
});

test('a link to the data set itself is followed', async () => {
  await inFolder(async (outer) => {
    await fill(outer, { 'data/a.png': '', 'data/a.txt': 'x' });
    await symlink('data', join(outer, 'alias'));
    const { samples, pathOf } = await openImageFolder(join(outer, 'alias'));
    assert.ok((await pathOf(samples[0])).endsWith(join('data', 'a.png')));
  });
});

test('folders that are no data set are refused in one sentence', async () => {
  await inFolder(async (folder) => {
    const refused = (name: string, code: string, message: RegExp) =>
      assert.rejects(openImageFolder(join(folder, name)), { code, message });
    await fill(folder, {
      'empty/notes.md': '',
      'bare/a.png': '',
      'missing/metadata.jsonl': jsonLines({ file_name: 'gone.png', text: '' }),
      'long/a.png': '',
      'long/a.txt': 'x'.repeat(70_000),
      'binary/a.png': '',
      'binary/a.txt': Uint8Array.of(0xff, 0xfe, 0x41),
      'deep/1/2/3/4/5/6/7/8/9/a.png': '',
      file: '',
    });
    await refused('empty', 'invalid-argument', /has no image/);
    await refused('bare', 'invalid-argument', /a\.png has no caption; put it into a\.txt/);
    await refused('missing', 'not-found', /gone\.png/);
    await refused('long', 'invalid-argument', /70000 bytes, more than the 65536/);
    await refused('binary', 'invalid-argument', /not text in UTF-8/);
    await refused('deep', 'invalid-argument', /folders more than 8 deep/);
    await refused('none', 'not-found', /none/);
    await refused('file', 'io', /not a folder/);
  });
});
