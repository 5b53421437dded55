import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { inFolder } from '../../test/fuzz/in-folder.ts';
import { f32 } from '../core/tensor.ts';
import { openModelFolder } from './model-folder.ts';
import { writeSafetensors } from './safetensors.ts';

const INDEX = {
  _class_name: 'StableDiffusionPipeline',
  _diffusers_version: '0.12.0',
  requires_safety_checker: false,
  safety_checker: [null, null],
  scheduler: ['diffusers', 'PNDMScheduler'],
  vae: ['diffusers', 'AutoencoderKL'],
  text_encoder: ['transformers', 'CLIPTextModel'],
};

async function inModel(index: unknown, body: (folder: string) => Promise<void>): Promise<void> {
  await inFolder(async (folder) => {
    await writeFile(join(folder, 'model_index.json'), JSON.stringify(index));
    for (const name of ['vae', 'scheduler', 'text_encoder']) await mkdir(join(folder, name));
    await body(folder);
  });
}

test('the index tells the components, their configurations and weights', async () => {
  await inModel(INDEX, async (folder) => {
    await writeFile(join(folder, 'scheduler/scheduler_config.json'), '{"beta_start":0.1}');
    await writeFile(join(folder, 'vae/config.json'), '{"latent_channels":4}');
    const attention = 'encoder.mid_block.attentions.0';
    await writeSafetensors(
      join(folder, 'vae/diffusion_pytorch_model.fp16.safetensors'),
      [[`${attention}.query.weight`, f32([1, 1], [3])]],
      { format: 'pt' },
    );
    const model = await openModelFolder(folder);
    assert.equal(model.pipelineClass, 'StableDiffusionPipeline');
    assert.deepEqual([...model.components.keys()], ['scheduler', 'vae', 'text_encoder']);
    assert.deepEqual(model.components.get('vae'), {
      library: 'diffusers',
      className: 'AutoencoderKL',
    });
    assert.equal(model.settings.requires_safety_checker, false);
    assert.deepEqual(await model.readConfig('scheduler'), { beta_start: 0.1 });
    assert.deepEqual(await model.readConfig('vae'), { latent_channels: 4 });
    const weights = await model.openWeights('vae', { variant: 'fp16' });
    assert.deepEqual(weights.names(), [`${attention}.to_q.weight`]);
    assert.deepEqual(weights.metadata, { format: 'pt' });
    assert.equal((await weights.read(`${attention}.to_q.weight`)).data[0], 3);
    await weights.close();
    await assert.rejects(weights.read(`${attention}.to_q.weight`));
    await assert.rejects(model.openWeights('vae'), {
      code: 'not-found',
      message: /none of diffusion_pytorch_model\.safetensors.*fp16/,
    });
    await assert.rejects(model.readConfig('text_encoder'), { code: 'not-found' });
    assert.throws(() => model.componentPath('safety_checker'), {
      code: 'not-found',
      message: /no component safety_checker but scheduler, vae, text_encoder/,
    });
  });
});

test('folders without a sound index are refused', async () => {
  await inFolder(async (folder) => {
    await writeFile(join(folder, 'config.json'), '{}');
    await assert.rejects(openModelFolder(folder), {
      code: 'not-found',
      message: /no model_index\.json but config\.json/,
    });
    await assert.rejects(openModelFolder(join(folder, 'config.json')), {
      code: 'invalid-argument',
    });
    await assert.rejects(openModelFolder(join(folder, 'none')), { code: 'not-found' });
  });
  for (const [index, message] of [
    [[], /does not hold a JSON object/],
    [{}, /does not name a pipeline/],
    [{ ...INDEX, '../vae': ['a', 'b'] }, /not a plain name/],
  ] as const) {
    await inModel(index, async (folder) => {
      await assert.rejects(openModelFolder(folder), { code: 'invalid-checkpoint', message });
    });
  }
});
