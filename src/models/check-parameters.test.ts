import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { zeros } from '../core/tensor.ts';
import { memoryWeights } from '../runtime/memory-weights.ts';
import { checkParameters } from './check-parameters.ts';

const expected = new Map([
  ['conv.weight', [8, 4, 3, 3]],
  ['conv.bias', [8]],
]);
const options = { origin: 'unet', model: 'UNet2DConditionModel' };

function source(shapes: Record<string, number[]>) {
  const tensors = Object.entries(shapes).map(
    ([path, shape]) => [path, zeros('f32', shape)] as const,
  );
  return memoryWeights(new Map(tensors));
}

describe('checkParameters', () => {
  it('accepts what fits, and known buffers beside it', () => {
    const fitting = { 'conv.weight': [8, 4, 3, 3], 'conv.bias': [8], 'a.position_ids': [1, 77] };
    checkParameters(expected, source(fitting), options);
  });

  it('names missing, mis-shaped and unexpected tensors in one message', () => {
    const wrong = { 'conv.weight': [8, 9, 3, 3], a: [1], b: [1], c: [1], d: [1] };
    assert.throws(() => checkParameters(expected, source(wrong), options), {
      code: 'missing-tensor',
      message:
        'unet does not fit its configuration as UNet2DConditionModel: 1 tensor missing (conv.bias); 1 tensor of the wrong shape (conv.weight [8, 9, 3, 3] instead of [8, 4, 3, 3]); 4 tensors unexpected (a, b, c and 1 more); use the weights that belong to this config.json.',
    });
  });

  it('refuses wrong shapes alone', () => {
    const wrong = { 'conv.weight': [8, 4, 1, 1], 'conv.bias': [8] };
    assert.throws(() => checkParameters(expected, source(wrong), options), {
      code: 'invalid-checkpoint',
    });
  });

  it('refuses unexpected tensors alone', () => {
    const more = { 'conv.weight': [8, 4, 3, 3], 'conv.bias': [8], 'add_embedding.bias': [4] };
    assert.throws(() => checkParameters(expected, source(more), options), {
      code: 'invalid-checkpoint',
      message: /1 tensor unexpected \(add_embedding\.bias\)/,
    });
  });
});
