import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatParameters, imagePath, requireWritable } from './image-files.ts';

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

test('parameters read as the A1111 web interface writes them', () => {
  const text = formatParameters({
    prompt: 'a fox',
    negativePrompt: 'blurry',
    steps: 20,
    scheduler: 'dpmpp-2m-karras',
    guidance: 7.5,
    seed: 42,
    width: 512,
    height: 768,
    model: 'sd',
    precision: 'bf16',
  });
  assert.equal(
    text,
    'a fox\nNegative prompt: blurry\nSteps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7.5, Seed: 42, Size: 512x768, Model: sd, Precision: bf16, Version: Bookend',
  );
});
