import assert from 'node:assert/strict';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { castTensor, type Tensor } from '../../../src/core/tensor.ts';
import { StableDiffusionPipeline } from '../../../src/index.ts';
import { writeSafetensors } from '../../../src/io/safetensors.ts';
import { readTokenizerFiles } from '../../../src/io/tokenizer-files.ts';
import { hashedParameter } from '../../../src/models/random-weights.ts';
import { openModelParts } from '../../../src/pipelines/model-parts.ts';
import { quantizePostTraining } from '../../../src/pipelines/post-training-quantization.ts';
import { DEFAULT_QUANTIZATION } from '../../../src/quantization/config.ts';
import { inFolder } from '../../fuzz/in-folder.ts';

const TOKENIZER = join(import.meta.dirname, 'models/sd/tokenizer');
const TOKENS = 49408;
const TEXT_WIDTH = 768;

/** SD 1.5's shapes with a tenth of the U-Net's channels, a quarter of the VAE's, a narrow text. */
function shrink(name: string, shape: readonly number[], vocabulary: number): number[] {
  const part = name.startsWith('model.diffusion_model.') ? 10 : 4;
  const narrow = (extent: number, axis: number) => {
    if (extent === TOKENS) return vocabulary;
    if (extent === TEXT_WIDTH) return 64;
    if (name.startsWith('cond_stage_model.')) return extent === 4 * TEXT_WIDTH ? 256 : extent;
    return axis < 2 && extent >= 128 ? extent / part : extent;
  };
  return shape.map(narrow);
}

/** Writes an LDM checkpoint of random weights under the names that SD 1.5's has. */
async function writeLdmFile(path: string): Promise<void> {
  const golden = new URL('../io/ldm-sd-1.5.json', import.meta.url);
  const { ldm } = JSON.parse(await readFile(golden, 'utf8')) as { ldm: Record<string, number[]> };
  const { vocabulary } = await readTokenizerFiles(TOKENIZER);
  const tensors = Object.entries(ldm).map(([name, shape]): [string, Tensor] => {
    const small = shrink(name, shape, vocabulary.size);
    return [name, castTensor(hashedParameter(name, small), 'f16')];
  });
  await writeSafetensors(path, tensors);
}

test('a single file draws, and is closed with its pipeline', async () => {
  await inFolder(async (folder) => {
    const path = join(folder, 'model.safetensors');
    await writeLdmFile(path);
    await assert.rejects(StableDiffusionPipeline.fromPretrained(path, { variant: 'fp16' }), {
      code: 'invalid-argument',
      message: /single file.*variant/,
    });
    const options = { tokenizer: TOKENIZER, precision: 'fp32' } as const;
    const pipe = await StableDiffusionPipeline.fromPretrained(path, options);
    const request = { numInferenceSteps: 2, seed: 1, width: 64, height: 32 };
    const { images } = await pipe('an apple', request);
    assert.deepEqual([images[0].width, images[0].height], [64, 32]);
    assert.ok(new Set(images[0].data).size > 16, 'the image is flat');
    await pipe.dispose();

    const parts = await openModelParts(path, options);
    const unet = await parts.weights('unet');
    const [name] = unet.names();
    await unet.readBytes(name);
    await parts.close();
    await assert.rejects(unet.readBytes(name));
  });
});

test('a quantized single file is a folder that opens by itself, with its tokenizer', async () => {
  await inFolder(async (folder) => {
    const path = join(folder, 'model.safetensors');
    await writeLdmFile(path);
    const out = join(folder, 'int8');
    await quantizePostTraining(path, out, {
      config: { ...DEFAULT_QUANTIZATION, buckets: 1 },
      tokenizer: TOKENIZER,
      samples: 1,
      steps: 2,
      guidanceScale: 1,
      sensitivityPrompts: 0,
    });
    assert.equal((await stat(join(out, 'model.safetensors'))).ino, (await stat(path)).ino);
    const pipe = await StableDiffusionPipeline.fromPretrained(out, { precision: 'int8' });
    const request = { numInferenceSteps: 2, seed: 1, width: 64, height: 32 };
    const { images, schedule } = await pipe('an apple', request);
    assert.deepEqual(schedule, ['int8', 'int8', 'int8']);
    assert.ok(new Set(images[0].data).size > 16, 'the image is flat');
    await pipe.dispose();
  });
});
