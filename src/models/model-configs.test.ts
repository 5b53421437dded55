import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseAutoencoderKLConfig } from './autoencoder-kl-config.ts';
import { parseCLIPTextConfig } from './clip-text-model-config.ts';
import { parseUNet2DConditionConfig } from './unet-2d-condition-config.ts';
import { parseUNet2DConfig } from './unet-2d-config.ts';

const refusals: [
  name: string,
  parse: (json: unknown) => unknown,
  json: unknown,
  code: string,
  message: RegExp,
][] = [
  [
    'an activation',
    parseUNet2DConditionConfig,
    { act_fn: 'mish' },
    'unsupported',
    /UNet2DConditionModel has act_fn = "mish", but only "silu" or "swish" is supported/,
  ],
  [
    'class conditioning',
    parseUNet2DConditionConfig,
    { num_class_embeds: 1000 },
    'unsupported',
    /num_class_embeds = 1000, but only null/,
  ],
  [
    "SDXL's added embeddings",
    parseUNet2DConditionConfig,
    { addition_embed_type: 'text_time' },
    'unsupported',
    /addition_embed_type = "text_time"/,
  ],
  [
    'a block type',
    parseUNet2DConditionConfig,
    { down_block_types: ['DownBlock2D', 'DownBlock2D', 'KDownBlock2D', 'DownBlock2D'] },
    'unsupported',
    /down_block_types = "KDownBlock2D", but only "CrossAttnDownBlock2D" or "DownBlock2D"/,
  ],
  [
    'attention to the text alone',
    parseUNet2DConditionConfig,
    { only_cross_attention: [true, true, true, false] },
    'unsupported',
    /only_cross_attention = \[true,true,true,false\]/,
  ],
  [
    'contexts of several widths',
    parseUNet2DConditionConfig,
    { cross_attention_dim: [768, 768, 768, 1024] },
    'unsupported',
    /cross_attention_dim/,
  ],
  [
    'a list of the wrong length',
    parseUNet2DConditionConfig,
    { attention_head_dim: [5, 10, 20] },
    'invalid-checkpoint',
    /lists 3 values of attention_head_dim for the 4 levels/,
  ],
  [
    'a value of the wrong type',
    parseUNet2DConditionConfig,
    { block_out_channels: [320, '640'] },
    'invalid-checkpoint',
    /UNet2DConditionModel is not valid at the key block_out_channels\.1/,
  ],
  ['no object', parseUNet2DConditionConfig, null, 'invalid-checkpoint', /not valid at the whole/],
  [
    'absurd extents',
    parseUNet2DConditionConfig,
    { block_out_channels: [1e9] },
    'invalid-checkpoint',
    /block_out_channels\.0/,
  ],
  [
    'heads that do not divide the channels',
    parseUNet2DConditionConfig,
    { attention_head_dim: 7 },
    'invalid-checkpoint',
    /7 attention heads, which do not divide the 320 channels/,
  ],
  [
    'groups that do not divide the channels',
    parseUNet2DConditionConfig,
    { norm_num_groups: 48 },
    'invalid-checkpoint',
    /norm_num_groups = 48, which does not divide the 320 channels/,
  ],
  [
    'the other kind of U-Net',
    parseUNet2DConfig,
    { down_block_types: ['DownBlock2D', 'CrossAttnDownBlock2D', 'DownBlock2D', 'DownBlock2D'] },
    'unsupported',
    /UNet2DModel has down_block_types = "CrossAttnDownBlock2D"/,
  ],
  [
    'downsampling by residual blocks',
    parseUNet2DConfig,
    { downsample_type: 'resnet' },
    'unsupported',
    /downsample_type = "resnet", but only "conv"/,
  ],
  [
    'shifted latents',
    parseAutoencoderKLConfig,
    { shift_factor: 0.1159 },
    'unsupported',
    /AutoencoderKL has shift_factor = 0.1159, but only null/,
  ],
  [
    'another text encoder',
    parseCLIPTextConfig,
    { model_type: 't5' },
    'unsupported',
    /CLIPTextModel has model_type = "t5", but only "clip_text_model"/,
  ],
];

describe('model configurations', () => {
  for (const [name, parse, json, code, message] of refusals) {
    it(`refuse ${name}`, () => {
      assert.throws(() => parse(json), { name: 'BookendError', code, message });
    });
  }

  it('read attention_head_dim as heads in the conditional and as width in the plain U-Net', () => {
    assert.deepEqual(parseUNet2DConditionConfig({}).attentionHeads, [8, 8, 8, 8]);
    assert.deepEqual(parseUNet2DConfig({}).attentionHeads, [28, 56, 84, 112]);
    assert.deepEqual(parseUNet2DConfig({ attention_head_dim: null }).attentionHeads, [1, 1, 1, 1]);
  });

  it('ignore keys of no consequence, as the libraries do', () => {
    const plain = parseUNet2DConditionConfig({});
    assert.deepEqual(parseUNet2DConditionConfig({ _name_or_path: 'x', decay: 0.9999 }), plain);
  });
});
