/**
 * Makes what an unconditional model in pixel space is trained on, and its configuration. Nothing of it
 * belongs into the repository.
 *
 *   npm install --prefix models/emoji/training     # the pictures, 81 MB
 *   node scripts/results/pixel-data.ts --out FOLDER [--packages models/emoji/training/node_modules]
 *
 * FOLDER/images   the emoji of all categories but flags, 32×32 on white, and their mirror images
 *                 but of symbols
 * FOLDER/model    a DDPM pipeline as diffusers saves it, without weights
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import sharp from 'sharp';

const PIXELS = 32;

const { values } = parseArgs({
  options: {
    out: { type: 'string' },
    packages: { type: 'string', default: 'models/emoji/training/node_modules' },
  },
});
const { out, packages } = values;
if (!out) {
  console.error('Name the folder to make: --out FOLDER.');
  process.exit(2);
}

interface Picture {
  readonly image: string;
  readonly category: string;
  readonly has_img_google: boolean;
}

const source = join(packages, 'emoji-datasource-google');
const pictures = JSON.parse(readFileSync(join(source, 'emoji.json'), 'utf8')) as Picture[];
mkdirSync(join(out, 'images'), { recursive: true });
let count = 0;
for (const { image, category, has_img_google: isThere } of pictures) {
  if (!isThere || category === 'Flags') continue;
  const onWhite = sharp(join(source, 'img/google/64', image))
    .flatten({ background: 'white' })
    .resize(PIXELS, PIXELS);
  await onWhite.clone().toFile(join(out, 'images', image));
  count++;
  if (category === 'Symbols') continue;
  await onWhite
    .clone()
    .flop()
    .toFile(join(out, 'images', `mirrored-${image}`));
  count++;
}

/** A third of a U-Net for CIFAR-10 (Ho et al., "Denoising Diffusion Probabilistic Models", 2020). */
const unet = {
  _class_name: 'UNet2DModel',
  sample_size: PIXELS,
  in_channels: 3,
  out_channels: 3,
  block_out_channels: [32, 64, 128],
  layers_per_block: 2,
  down_block_types: ['DownBlock2D', 'AttnDownBlock2D', 'AttnDownBlock2D'],
  up_block_types: ['AttnUpBlock2D', 'AttnUpBlock2D', 'UpBlock2D'],
  attention_head_dim: 32,
  norm_num_groups: 16,
};
const scheduler = {
  _class_name: 'DDPMScheduler',
  num_train_timesteps: 1000,
  beta_start: 0.0001,
  beta_end: 0.02,
  beta_schedule: 'linear',
  variance_type: 'fixed_small',
  clip_sample: true,
  prediction_type: 'epsilon',
};
const index = {
  _class_name: 'DDPMPipeline',
  scheduler: ['diffusers', 'DDPMScheduler'],
  unet: ['diffusers', 'UNet2DModel'],
};
const files = {
  'model_index.json': index,
  'unet/config.json': unet,
  'scheduler/scheduler_config.json': scheduler,
};
for (const [name, content] of Object.entries(files)) {
  const path = join(out, 'model', name);
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, `${JSON.stringify(content, undefined, 2)}\n`);
}
console.log(`${count} pictures`);
