import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatParameters } from './image-parameters.ts';

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
