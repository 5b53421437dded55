import assert from 'node:assert/strict';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { tensor } from '../../src/core/tensor.ts';
import { writeTinyModel } from '../golden/pipelines/tiny-models.ts';
import { runBookend } from './run-bookend.ts';

const scratch = mkdtempSync(join(tmpdir(), 'bookend-cli-'));
const images = join(scratch, 'images');
mkdirSync(images);
const out = ['--out', join(images, 'x.png')];
const model = await writeTinyModel('sd', join(scratch, 'sd'));
const ddpm = await writeTinyModel('ddpm', join(scratch, 'ddpm'));
after(() => {
  rmSync(scratch, { recursive: true, force: true });
});

interface Refusal {
  readonly args: readonly string[];
  readonly status: 1 | 2;
  readonly says: RegExp;
}

/** Runs two at a time; every one must say one sentence, last on stderr, and write no file. */
async function checkAll(refusals: readonly Refusal[]): Promise<void> {
  const left = [...refusals];
  const worker = async () => {
    for (let next = left.shift(); next; next = left.shift()) await check(next);
  };
  await Promise.all([worker(), worker()]);
  assert.deepEqual(readdirSync(images), []);
}

async function check({ args, status, says }: Refusal): Promise<void> {
  const shown = args.join(' ').slice(0, 200);
  const run = await runBookend(args);
  assert.equal(run.status, status, `${shown}: ${run.stderr}`);
  assert.equal(run.stdout, '', shown);
  const last = run.stderr.trimEnd().split('\n').at(-1) ?? '';
  assert.match(last, says, shown);
  // The advice on pickles ends with a command.
  assert.match(last, /[."]$/, shown);
  assert.doesNotMatch(run.stderr, /\n\s+at /, `${shown} shows a stack`);
}

test('wrong words end with status 2', async () => {
  const generate = ['generate', 'x', '--model', model, ...out];
  await checkAll([
    { args: [...generate, '--scheduler', 'heun'], status: 2, says: /'heun'.*ddim, ddpm, pndm/ },
    { args: [...generate, '--width', '33'], status: 2, says: /33 pixels.*multiple of 8/ },
    { args: [...generate, '--height', '65536'], status: 2, says: /65536 pixels/ },
    { args: [...generate, '--steps', '0'], status: 2, says: /'0'.*whole number/ },
    { args: [...generate, '--strength', '0.5'], status: 2, says: /--image/ },
    { args: ['generate', '--model', model, ...out], status: 2, says: /prompt is empty/ },
    {
      args: ['generate', 'apple '.repeat(20_000), '--model', model, ...out],
      status: 2,
      says: /^The prompt/,
    },
    { args: ['generate', 'x', '-m', model, '--out', 'x.gif'], status: 2, says: /\.png/ },
    { args: [...generate, '--tokenizer', scratch], status: 2, says: /option tokenizer/ },
    { args: ['generate', 'x', '-m', ddpm, ...out], status: 2, says: /noise alone.*a prompt/ },
    { args: ['generate', '-m', ddpm, '--width', '8', ...out], status: 2, says: /--width/ },
  ]);
});

test('what cannot be done ends with status 1', async () => {
  const generate = ['generate', 'x', ...out];
  const pickle = join(scratch, 'model.ckpt');
  writeFileSync(pickle, 'PK');
  const folder = join(scratch, 'folder.png');
  mkdirSync(folder);
  await checkAll([
    { args: [...generate, '-m', join(scratch, 'none')], status: 1, says: /none/ },
    { args: [...generate, '-m', pickle], status: 1, says: /safetensors/ },
    {
      args: ['generate', 'x', '-m', model, '--out', join(scratch, 'no', 'x.png')],
      status: 1,
      says: /cannot be written/,
    },
    {
      args: ['generate', 'x', '-m', model, '--out', join(pickle, 'x.png')],
      status: 1,
      says: /cannot be written/,
    },
    {
      args: [...generate, '-m', model, ...'--width 8192 --height 8192 --count 512'.split(' ')],
      status: 1,
      says: /needs .* GiB .* smaller/,
    },
    { args: ['generate', 'x', '-m', model, '--out', folder], status: 1, says: /a folder is in/ },
    { args: [...generate, '-m', model, '--image', pickle], status: 1, says: /model\.ckpt/ },
  ]);
});

test('damaged checkpoints are refused with the place of the damage', async () => {
  const generate = (path: string) => ['generate', 'x', '--model', path, ...out];
  const damaged = (name: string) => join(scratch, name);
  const weight = 'mid_block.resnets.0.conv1.weight';

  const nan = await writeTinyModel('sd', damaged('nan'), (component, tensors) => {
    if (component === 'unet') tensors.get(weight)!.data[5] = 0x7fc0;
  });
  const nanText = await writeTinyModel('sd', damaged('nan-text'), (component, tensors) => {
    const name = 'text_model.encoder.layers.0.mlp.fc1.bias';
    if (component === 'text_encoder') tensors.get(name)!.data[0] = 0x7e00;
  });
  const incomplete = await writeTinyModel('sd', damaged('incomplete'), (component, tensors) => {
    if (component === 'unet') tensors.delete(weight);
  });
  const misshaped = await writeTinyModel('sd', damaged('misshaped'), (component, tensors) => {
    const name = 'decoder.conv_in.bias';
    if (component === 'vae') tensors.set(name, tensor('f32', [7], new Float32Array(7)));
  });
  const truncated = await writeTinyModel('sd', damaged('truncated'));
  truncateSync(join(truncated, 'unet', 'diffusion_pytorch_model.safetensors'), 20_000);
  const xl = await writeTinyModel('sd', damaged('xl'));
  const config = { _class_name: 'UNet2DConditionModel', addition_embed_type: 'text_time' };
  writeFileSync(join(xl, 'unet', 'config.json'), JSON.stringify(config));
  const half = await writeTinyModel('sd', damaged('half'));
  rmSync(join(half, 'vae', 'diffusion_pytorch_model.safetensors'));
  const mute = await writeTinyModel('sd', damaged('mute'));
  const index = JSON.parse(readFileSync(join(mute, 'model_index.json'), 'utf8'));
  writeFileSync(
    join(mute, 'model_index.json'),
    JSON.stringify({ ...index, text_encoder: [null, null] }),
  );

  await checkAll([
    { args: generate(nan), status: 1, says: /mid_block\.resnets\.0\.conv1\.weight|U-Net/ },
    { args: generate(nanText), status: 1, says: /finite/ },
    { args: generate(incomplete), status: 1, says: /1 tensor missing \(mid_block/ },
    { args: generate(misshaped), status: 1, says: /decoder\.conv_in\.bias \[7\]/ },
    { args: generate(truncated), status: 1, says: /diffusion_pytorch_model\.safetensors/ },
    { args: generate(xl), status: 1, says: /addition_embed_type/ },
    { args: generate(mute), status: 1, says: /has no text_encoder/ },
    { args: generate(half), status: 1, says: /vae.*diffusion_pytorch_model\.safetensors/ },
  ]);

  const sound = await runBookend(['inspect', model, '--values']);
  assert.match(sound.stdout, /\nEvery value is finite\.\n$/);
  const found = await runBookend(['inspect', nan, '--values', '--json']);
  assert.equal(found.status, 0, found.stderr);
  const components = found.json().components as { component: string; nonFinite: string[] }[];
  assert.deepEqual(
    components.map(({ component, nonFinite }) => [component, nonFinite]),
    [
      ['text_encoder', []],
      ['unet', [weight]],
      ['vae', []],
    ],
  );
});
