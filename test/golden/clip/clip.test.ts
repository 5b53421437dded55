import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { f32, type Tensor } from '../../../src/core/tensor.ts';
import { clipPixels, parseClipPreprocessing } from '../../../src/evaluation/clip-preprocessing.ts';
import { clipLogits } from '../../../src/evaluation/clip-score.ts';
import { resampleImage } from '../../../src/io/resample.ts';
import { parseCLIPModelConfig } from '../../../src/models/clip-model-config.ts';
import { clipModelParameters } from '../../../src/models/parameters.ts';
import { loadClipModel } from '../../../src/pipelines/evaluation/clip-model.ts';
import { relativeL2 } from '../models/model-fixtures.ts';
import {
  bytesOf,
  type ClipFixture,
  fixtureImages,
  floatsOf,
  hashedImage,
  type ResampleFixture,
  readFixture,
  writeTinyClip,
} from './clip-fixtures.ts';

const scratch = mkdtempSync(join(tmpdir(), 'bookend-clip-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

/** FP32 against float64. */
const TOLERANCE = 5e-6;

describe('resampling equals Pillow byte for byte', () => {
  for (const { image, size, filter, output } of readFixture<ResampleFixture[]>('resample')) {
    const [height, width] = output.shape;
    it(`${size.join('×')} to ${width}×${height}, ${filter}`, () => {
      const resampled = resampleImage(hashedImage(image, ...size), width, height, filter);
      assert.deepEqual(resampled.data, bytesOf(output));
    });
  }
});

for (const name of ['quick-gelu', 'gelu']) {
  describe(`CLIP as transformers computes it: ${name}`, () => {
    const fixture = readFixture<ClipFixture>(name);
    const images = fixtureImages(fixture);
    const { outputs, prompts } = fixture;

    it('has the same parameters', () => {
      const actual = clipModelParameters(parseCLIPModelConfig(fixture.config));
      assert.deepEqual(Object.fromEntries(actual), fixture.parameters);
    });

    it('sees the same pixels', () => {
      const pixels = clipPixels(images[1], parseClipPreprocessing(fixture.preprocessing));
      const { shape } = outputs.pixelValues;
      const expected = f32(shape, floatsOf(outputs.pixelValues));
      assert.ok(relativeL2(f32(shape, pixels), expected) < 1e-6);
    });

    it('gives the same embeddings, logits and scores', async () => {
      const model = await loadClipModel(await writeTinyClip(fixture, join(scratch, name)));
      const imageEmbeds = await model.embedImages(images);
      const textEmbeds = await model.embedTexts(prompts);
      const logits = clipLogits(imageEmbeds, textEmbeds, model.logitFactor);
      const scores = await model.score(images, prompts);
      await model.dispose();

      near('imageEmbeds', imageEmbeds.data);
      near('textEmbeds', textEmbeds.data);
      near('logitsPerImage', logits.flat());
      const paired = logits.map((row, i) => Math.max(0, (100 * row[i]) / model.logitFactor));
      for (const [i, score] of scores.entries()) assert.ok(Math.abs(score - paired[i]) < 1e-4);
    });

    function near(key: 'imageEmbeds' | 'textEmbeds' | 'logitsPerImage', values: ArrayLike<number>) {
      const { shape } = outputs[key];
      const expected: Tensor = f32(shape, floatsOf(outputs[key]));
      const error = relativeL2(f32(shape, values), expected);
      assert.ok(error <= TOLERANCE, `${key} is off by ${error}`);
    }
  });
}

describe('a CLIP model that is not whole', () => {
  const fixture = readFixture<ClipFixture>('quick-gelu');
  const cases = {
    'another image size': { vision_config: { ...vision(fixture), image_size: 32 } },
    'another model': { model_type: 'siglip' },
    'an end token of another tokenizer': { text_config: { ...text(fixture), eos_token_id: 7 } },
    'weights of another width': { projection_dim: 21 },
  };
  const codes = ['invalid-checkpoint', 'unsupported', 'invalid-checkpoint', 'invalid-checkpoint'];
  for (const [i, [name, change]] of Object.entries(cases).entries()) {
    it(`is refused: ${name}`, async () => {
      const folder = await writeTinyClip(fixture, join(scratch, `bad-${i}`));
      writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...fixture.config, ...change }));
      await assert.rejects(loadClipModel(folder), { code: codes[i] });
    });
  }

  it('is refused: a crop larger than the image', () => {
    assert.throws(() => parseClipPreprocessing({ size: 100, crop_size: 224 }), {
      code: 'unsupported',
    });
    assert.throws(() => parseClipPreprocessing({ image_std: [1, 0, 1] }), {
      code: 'invalid-checkpoint',
    });
  });
});

function vision({ config }: ClipFixture): object {
  return config.vision_config as object;
}

function text({ config }: ClipFixture): object {
  return config.text_config as object;
}
