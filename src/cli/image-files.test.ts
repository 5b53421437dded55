import assert from 'node:assert/strict';
import { test } from 'node:test';
import { imagePath, requireWritable } from './image-files.ts';

test('one image keeps its name, several are numbered', () => {
  assert.equal(imagePath('out/fox.png', 0, 1), 'out/fox.png');
  assert.equal(imagePath('out/fox.png', 3, 12), 'out/fox-03.png');
});

test('an output that cannot be written is refused before the work', async () => {
  await assert.rejects(requireWritable('no/such/folder/x.png'), { code: 'io' });
  await assert.rejects(requireWritable('package.json/x.png'), { code: 'io' });
  await requireWritable('x.png');
  await assert.rejects(requireWritable('x.jpg'), { code: 'invalid-argument' });
});
