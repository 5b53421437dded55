import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { inFolder } from '../fuzz/in-folder.ts';
import { writeTinyModel } from '../golden/pipelines/tiny-models.ts';
import { runBookend } from './run-bookend.ts';

test('inspect shows models, components and single files', async () => {
  await inFolder(async (folder) => {
    const model = await writeTinyModel('sd', folder);
    const unet = join(model, 'unet');
    const [whole, component, file] = await Promise.all([
      runBookend(['inspect', model]),
      runBookend(['inspect', unet, '--json']),
      runBookend(['inspect', join(unet, 'diffusion_pytorch_model.safetensors'), '--tensors']),
    ]);
    for (const { status, stderr } of [whole, component, file]) assert.equal(status, 0, stderr);
    assert.match(whole.stdout, /: Stable Diffusion, scheduler pndm \(epsilon\)\n/);
    assert.match(whole.stdout, /^text_encoder +CLIPTextModel +\d+ .* F16 /m);
    assert.match(whole.stdout, /^unet +UNet2DConditionModel +\d+ .* BF16 /m);
    assert.match(whole.stdout, /^vae +AutoencoderKL +\d+ .* F32 /m);
    const { kind, components } = component.json() as {
      kind: string;
      components: { tensors: unknown[] }[];
    };
    assert.equal(kind, 'safetensors');
    assert.ok(components[0].tensors.length > 50);
    assert.match(file.stdout, /^conv_in\.weight +BF16 +\[8, 4, 3, 3\]$/m);
  });
});

test('inspect shows a model that Bookend does not run', async () => {
  await inFolder(async (folder) => {
    const model = await writeTinyModel('sd', folder);
    const config = join(model, 'scheduler', 'scheduler_config.json');
    writeFileSync(config, '{"_class_name": "HeunDiscreteScheduler"}');
    const shown = await runBookend(['inspect', model]);
    assert.equal(shown.status, 0, shown.stderr);
    assert.match(shown.stdout, /scheduler not supported: .* is HeunDiscreteScheduler/);
    rmSync(config);
    const without = await runBookend(['inspect', model]);
    assert.equal(without.status, 1);
    assert.match(without.stderr, /scheduler_config\.json/);
  });
});

test('doctor and help succeed, commands that are not there fail', async () => {
  const [doctor, help, version, none] = await Promise.all([
    runBookend(['doctor', '--json']),
    runBookend(['generate', '--help']),
    runBookend(['--version']),
    runBookend(['draw']),
  ]);
  assert.deepEqual([doctor.status, help.status, version.status, none.status], [0, 0, 0, 2]);
  assert.ok((doctor.json().instructionSets as unknown[]).length >= 4);
  assert.match(help.stdout, /--scheduler <name>/);
  assert.match(version.stdout, /^\d+\.\d+\.\d+\n$/);
  assert.match(none.stderr, /unknown command 'draw'/);
});
