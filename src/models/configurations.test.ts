import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { parseAutoencoderKLConfig } from './autoencoder-kl-config.ts';
import { parseCLIPTextConfig } from './clip-text-model-config.ts';
import { builtInConfiguration } from './configurations.ts';
import { unet2DConditionParameters } from './parameters.ts';
import { parseUNet2DConditionConfig } from './unet-2d-condition-config.ts';

const PUBLISHED = `${import.meta.dirname}/../../test/golden/models/published`;

function published(name: string, component: string): unknown {
  return JSON.parse(readFileSync(`${PUBLISHED}/${name}-${component}.json`, 'utf8'));
}

describe('built-in configurations', () => {
  for (const name of ['sd-1.4', 'sd-1.5', 'sd-2.1'] as const) {
    it(`${name} is what the published files say`, () => {
      const { unet, vae, textEncoder } = builtInConfiguration(name);
      assert.deepEqual(unet, parseUNet2DConditionConfig(published(name, 'unet')));
      assert.deepEqual(vae, parseAutoencoderKLConfig(published(name, 'vae')));
      assert.deepEqual(textEncoder, parseCLIPTextConfig(published(name, 'text_encoder')));
    });
  }

  it('have the published numbers of parameters', () => {
    const count = (name: 'sd-1.5' | 'sd-2.1-base') => {
      const shapes = [...unet2DConditionParameters(builtInConfiguration(name).unet).values()];
      return shapes.reduce((sum, shape) => sum + shape.reduce((a, b) => a * b, 1), 0);
    };
    assert.equal(count('sd-1.5'), 859_520_964);
    assert.equal(count('sd-2.1-base'), 865_910_724);
  });
});
