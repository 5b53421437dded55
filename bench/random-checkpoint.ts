/**
 * Writes a full-size Stable Diffusion checkpoint of random weights in the layout of diffusers, to
 * measure memory and time of whole runs where no real checkpoint is at hand. The vocabulary is the
 * 256 bytes without merges, padded to CLIP's size; the images are noise.
 *
 *   node bench/random-checkpoint.ts --model sd-1.5 --out DIR [--dtype bf16]
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { castTensor } from '../src/core/tensor.ts';
import { syntheticWeights } from '../src/evaluation/synthetic-weights.ts';
import { writeSafetensors } from '../src/io/safetensors.ts';
import {
  BUILT_IN_CONFIGURATIONS,
  type BuiltInConfigurationName,
  builtInConfiguration,
  publishedConfiguration,
} from '../src/models/configurations.ts';
import {
  autoencoderKLParameters,
  clipTextModelParameters,
  type ParameterShapes,
  unet2DConditionParameters,
} from '../src/models/parameters.ts';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'sd-1.5' },
    out: { type: 'string' },
    dtype: { type: 'string', default: 'bf16' },
  },
});
const { model, out, dtype } = values;
if (!out || !(BUILT_IN_CONFIGURATIONS as readonly string[]).includes(model)) {
  console.error(`Pass --out DIR and --model, one of ${BUILT_IN_CONFIGURATIONS.join(', ')}.`);
  process.exit(2);
}
if (dtype !== 'bf16' && dtype !== 'f16' && dtype !== 'f32') {
  console.error('Pass --dtype bf16, f16 or f32.');
  process.exit(2);
}

const name = model as BuiltInConfigurationName;
const config = builtInConfiguration(name);
const json = publishedConfiguration(name);

function writeJson(folder: string, file: string, content: unknown): void {
  mkdirSync(join(out!, folder), { recursive: true });
  writeFileSync(join(out!, folder, file), JSON.stringify(content, null, 2));
}

async function writeComponent(
  folder: string,
  className: string,
  content: object,
  shapes: ParameterShapes,
): Promise<void> {
  writeJson(folder, 'config.json', { _class_name: className, ...content });
  const types = [...shapes].map(([path, shape]) => [path, { dtype: 'f32', shape }] as const);
  const source = syntheticWeights(new Map(types));
  const tensors = await Promise.all(
    [...shapes.keys()].map(
      async (path) =>
        [path, castTensor(await source.read(path), dtype as 'bf16' | 'f16' | 'f32')] as const,
    ),
  );
  const file = folder === 'text_encoder' ? 'model' : 'diffusion_pytorch_model';
  await writeSafetensors(join(out!, folder, `${file}.safetensors`), tensors);
  console.log(`${folder}: ${shapes.size} tensors`);
}

await writeComponent(
  'unet',
  'UNet2DConditionModel',
  json.unet,
  unet2DConditionParameters(config.unet),
);
await writeComponent('vae', 'AutoencoderKL', json.vae, autoencoderKLParameters(config.vae));
await writeComponent(
  'text_encoder',
  'CLIPTextModel',
  json.textEncoder,
  clipTextModelParameters(config.textEncoder),
);

const letters = Array.from({ length: 256 }, (_, byte) =>
  String.fromCodePoint(byte > 32 && byte < 127 ? byte : 0x100 + byte),
);
const tokens = [...letters, ...letters.map((letter) => `${letter}</w>`)];
while (tokens.length < 49406) tokens.push(`unused${tokens.length}`);
tokens.push('<|startoftext|>', '<|endoftext|>');
writeJson('tokenizer', 'vocab.json', Object.fromEntries(tokens.map((token, id) => [token, id])));
writeFileSync(join(out, 'tokenizer', 'merges.txt'), '#version: 0.2\n');
writeJson('tokenizer', 'tokenizer_config.json', { model_max_length: 77 });
writeJson('scheduler', 'scheduler_config.json', {
  _class_name: 'DDIMScheduler',
  beta_start: 0.00085,
  beta_end: 0.012,
  beta_schedule: 'scaled_linear',
  prediction_type: name === 'sd-2.1' ? 'v_prediction' : 'epsilon',
  clip_sample: false,
  set_alpha_to_one: false,
  steps_offset: 1,
});
writeJson('.', 'model_index.json', {
  _class_name: 'StableDiffusionPipeline',
  scheduler: ['diffusers', 'DDIMScheduler'],
  text_encoder: ['transformers', 'CLIPTextModel'],
  tokenizer: ['transformers', 'CLIPTokenizer'],
  unet: ['diffusers', 'UNet2DConditionModel'],
  vae: ['diffusers', 'AutoencoderKL'],
});
