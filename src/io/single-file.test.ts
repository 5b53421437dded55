import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { inFolder } from '../../test/fuzz/in-folder.ts';
import { f32, type Tensor, zeros } from '../core/tensor.ts';
import { canonicalKey } from './key-aliases.ts';
import { openSafetensors, type SafetensorsFile, writeSafetensors } from './safetensors.ts';
import { asSingleFileModel, openSingleFile } from './single-file.ts';
import { sourceOfViews, type TensorSource, viewsOfFile } from './tensor-source.ts';

type Shapes = Record<string, number[]>;
type Converted = Record<string, [ldmIndex: number, row: number, shape: number[]]>;
interface Golden {
  ldm: Shapes;
  unet: Converted;
  vae: Converted;
  text_encoder: Converted;
}

const GOLDEN = new URL('../../test/golden/io/', import.meta.url);
const PUBLISHED = fileURLToPath(new URL('../../../shared/stable-diffusion/', import.meta.url));

async function golden(version: '1.5' | '2.1'): Promise<Golden> {
  return JSON.parse(await readFile(new URL(`ldm-sd-${version}.json`, GOLDEN), 'utf8'));
}

/** Tensors of the given shapes one after another in a file that does not exist. */
function pretend(shapes: Shapes, metadata: Record<string, string> = {}): TensorSource {
  const entries: SafetensorsFile['entries'] = (() => {
    let byteOffset = 0;
    return new Map(
      Object.entries(shapes).map(([name, shape]) => {
        const byteLength = shape.reduce((a, b) => a * b, 2);
        const entry = { dtype: 'F16' as const, shape, byteOffset, byteLength };
        byteOffset += byteLength;
        return [name, entry];
      }),
    );
  })();
  const file: SafetensorsFile = {
    path: 'model.safetensors',
    entries,
    metadata,
    readRange: () => Promise.reject(new Error('not to be read')),
    close: () => Promise.resolve(),
  };
  return sourceOfViews(file.path, viewsOfFile(file), [file]);
}

for (const version of ['1.5', '2.1'] as const) {
  test(`every tensor of SD ${version} lands where diffusers puts it`, async () => {
    const fixture = await golden(version);
    const source = pretend(fixture.ldm);
    const ldmNames = Object.keys(fixture.ldm);
    const model = asSingleFileModel(source);
    for (const component of ['unet', 'vae', 'text_encoder'] as const) {
      const expected = Object.entries(fixture[component]).filter(
        ([key]) => !key.endsWith('position_ids'),
      );
      const actual = model.sources[component];
      assert.deepEqual(actual.names().sort(), expected.map(([key]) => key).sort());
      for (const [key, [index, row, shape]] of expected) {
        const from = source.locate(ldmNames[index]);
        const { byteOffset, byteLength, shape: actualShape } = actual.locate(key);
        const rowBytes = from.byteLength / (from.shape[0] ?? 1);
        assert.equal(byteOffset, from.byteOffset + row * rowBytes, key);
        assert.deepEqual(actualShape, shape, key);
        assert.equal(
          byteLength,
          shape.reduce((a, b) => a * b, 2),
          key,
        );
      }
    }
  });
}

const skip = existsSync(join(PUBLISHED, 'v1-5/unet/config.json'))
  ? false
  : `the published configurations are not at ${PUBLISHED}`;

test('derived configurations agree with the published ones', { skip }, async () => {
  for (const [version, folder, predictionType] of [
    ['1.5', 'v1-5', 'epsilon'],
    ['2.1', 'v2-1', 'v_prediction'],
  ] as const) {
    const model = asSingleFileModel(pretend((await golden(version)).ldm), { predictionType });
    for (const component of ['unet', 'vae', 'text_encoder'] as const) {
      const path = join(PUBLISHED, folder, component, 'config.json');
      const published = JSON.parse(await readFile(path, 'utf8'));
      for (const [key, value] of Object.entries(model.configs[component])) {
        if (key in published) assert.deepEqual(value, published[key], `${folder} ${key}`);
      }
    }
    assert.equal(model.family, version === '1.5' ? 'sd-1' : 'sd-2');
    assert.equal(model.configs.scheduler.prediction_type, predictionType);
  }
});

test('the prediction type comes from the option, else the file, else is epsilon', async () => {
  const { ldm } = await golden('2.1');
  const declared = { 'modelspec.prediction_type': 'v' };
  assert.equal(asSingleFileModel(pretend(ldm)).predictionType, 'epsilon');
  assert.equal(asSingleFileModel(pretend(ldm, declared)).predictionType, 'v_prediction');
  assert.equal(asSingleFileModel(pretend({ ...ldm, v_pred: [] })).predictionType, 'v_prediction');
  const options = { predictionType: 'epsilon' } as const;
  assert.equal(asSingleFileModel(pretend(ldm, declared), options).predictionType, 'epsilon');
  const odd = pretend(ldm, { 'modelspec.prediction_type': 'x0' });
  assert.throws(() => asSingleFileModel(odd), { code: 'unsupported', message: /"x0"/ });
});

test('an inpainting U-Net shows by its nine input channels', async () => {
  const { ldm } = await golden('1.5');
  assert.equal(asSingleFileModel(pretend(ldm)).inpainting, false);
  const conv = { 'model.diffusion_model.input_blocks.0.0.weight': [320, 9, 3, 3] };
  const model = asSingleFileModel(pretend({ ...ldm, ...conv }));
  assert.equal(model.inpainting, true);
  assert.equal(model.configs.unet.in_channels, 9);
});

test('other models and broken ones are refused', async () => {
  const { ldm } = await golden('2.1');
  const without = (prefix: string) =>
    Object.fromEntries(Object.entries(ldm).filter(([key]) => !key.startsWith(prefix)));
  const fails = (shapes: Shapes, code: string, message: RegExp) =>
    assert.throws(() => asSingleFileModel(pretend(shapes)), { code, message });
  fails({ ...ldm, 'conditioner.embedders.0.x': [1] }, 'unsupported', /XL/);
  fails(without('model.'), 'unsupported', /no tensors under model\.diffusion_model/);
  fails(without('first_stage_model.'), 'unsupported', /first_stage_model/);
  fails(without('cond_stage_model.'), 'unsupported', /no text encoder/);
  fails({ 'conv_in.weight': [1] }, 'unsupported', /no tensors under/);
  fails(without('model.diffusion_model.out.2'), 'missing-tensor', /out\.2\.weight/);
  fails(without('model.diffusion_model.input_blocks.1.'), 'invalid-checkpoint', /levels/);
  const joint = 'cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight';
  fails({ ...ldm, [joint]: [3071, 1024] }, 'invalid-checkpoint', /cannot be split/);
  fails({ ...ldm, [joint]: [0, 1024] }, 'invalid-checkpoint', /cannot be split/);
  fails({ ...ldm, [joint]: [] }, 'invalid-checkpoint', /cannot be split/);
});

test('slices of a real file hold the right numbers', async () => {
  await inFolder(async (folder) => {
    const path = join(folder, 'a.safetensors');
    const { ldm } = await golden('2.1');
    const shrink = ([name, shape]: [string, number[]]): [string, Tensor] => [
      name,
      zeros('f32', shape.length > 1 ? [1, ...shape.slice(1).map(() => 1)] : shape.map(() => 1)),
    ];
    const tensors = new Map(Object.entries(ldm).map(shrink));
    const block = 'cond_stage_model.model.transformer.resblocks.3.attn.in_proj_';
    for (const [name] of tensors) {
      if (name.endsWith('.in_proj_weight')) tensors.set(name, zeros('f32', [6, 1]));
      if (name.endsWith('.in_proj_bias')) tensors.set(name, zeros('f32', [3]));
    }
    tensors.set(`${block}weight`, f32([6, 1], [1, 2, 3, 4, 5, 6]));
    tensors.set('first_stage_model.encoder.mid.attn_1.q.weight', f32([1, 1, 1, 1], [7]));
    await writeSafetensors(path, tensors);
    const model = await openSingleFile(path);
    const { text_encoder: text, vae } = model.sources;
    const attention = 'text_model.encoder.layers.3.self_attn';
    assert.deepEqual(await text.read(`${attention}.q_proj.weight`), f32([2, 1], [1, 2]));
    assert.deepEqual(await text.read(`${attention}.k_proj.weight`), f32([2, 1], [3, 4]));
    assert.deepEqual(await text.read(`${attention}.v_proj.weight`), f32([2, 1], [5, 6]));
    const q = await vae.read('encoder.mid_block.attentions.0.to_q.weight');
    assert.deepEqual(q, f32([1, 1], [7]));
    await model.close();
    await assert.rejects(vae.read('encoder.mid_block.attentions.0.to_q.weight'));
    const file = await openSafetensors(path);
    assert.equal(file.entries.size, tensors.size);
    await file.close();
  });
});

test('keys of older libraries have one canonical form', () => {
  const vae = 'decoder.mid_block.attentions.0';
  for (const [component, key, expected] of [
    ['vae', `${vae}.query.weight`, `${vae}.to_q.weight`],
    ['vae', `${vae}.key.bias`, `${vae}.to_k.bias`],
    ['vae', `${vae}.value.weight`, `${vae}.to_v.weight`],
    ['vae', `${vae}.proj_attn.bias`, `${vae}.to_out.0.bias`],
    ['vae', `${vae}.to_q.weight`, `${vae}.to_q.weight`],
    ['vae', 'encoder.conv_in.weight', 'encoder.conv_in.weight'],
    ['text_encoder', 'encoder.layers.0.mlp.fc1.bias', 'text_model.encoder.layers.0.mlp.fc1.bias'],
    ['text_encoder', 'text_model.final_layer_norm.bias', 'text_model.final_layer_norm.bias'],
    ['text_encoder', 'text_model.embeddings.position_ids', null],
    ['text_encoder', 'embeddings.position_ids', null],
    ['unet', 'conv_in.weight', 'conv_in.weight'],
    ['unet', 'mid_block.attentions.0.query.bias', 'mid_block.attentions.0.to_q.bias'],
  ] as const) {
    assert.equal(canonicalKey(component, key), expected);
  }
});
