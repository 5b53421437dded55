import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { writeTinyModel } from '../golden/pipelines/tiny-models.ts';
import { runBookend } from './run-bookend.ts';

const scratch = mkdtempSync(join(tmpdir(), 'bookend-quantize-'));
const model = await writeTinyModel('sd', join(scratch, 'sd'));
after(() => rmSync(scratch, { recursive: true, force: true }));

const QUICK = ['--samples', '6', '--steps', '8', '--buckets', '2', '--no-sensitivity'];
const quantize = (out: string, ...more: string[]) => ['quantize', model, '--out', out, ...more];
const tensorsOf = (folder: string) => readFileSync(join(folder, 'unet/quantized.safetensors'));
const jsonOf = (folder: string) => readFileSync(join(folder, 'unet/quantization.json'), 'utf8');

test('quantize makes a model that generate runs in INT8 and inspect explains', async () => {
  const folder = join(scratch, 'int8');
  const run = await runBookend(
    quantize(folder, '--samples', '2', '--steps', '8', '--buckets', '2', '--json'),
  );
  assert.equal(run.status, 0, run.stderr);
  const result = run.json();
  assert.equal(result.out, folder);
  assert.ok((result.layers as number) > 10);
  assert.ok((result.bytesAfter as number) < (result.bytesBefore as number));
  assert.ok((result.int8Psnr as number) > 10);
  assert.match(run.stderr, /^Calibrating .* 18\/18 /m);
  assert.match(run.stderr, /^Measuring /m);
  const image = join(scratch, 'x.png');
  const drawn = await runBookend([
    ...['generate', 'an apple', '--model', folder, '--precision', 'int8', '--steps', '3'],
    ...['--out', image, '--json'],
  ]);
  assert.equal(drawn.status, 0, drawn.stderr);
  assert.ok((drawn.json().schedule as string[]).every((precision) => precision === 'int8'));
  const shown = await runBookend(['inspect', folder]);
  assert.equal(shown.status, 0, shown.stderr);
  assert.match(shown.stdout, /weights s8 per-channel symmetric, activations u8 .* 0–499, 500–999/);
  assert.match(shown.stdout, /^conv_in +float$/m);
  assert.match(
    shown.stdout,
    /^down_blocks\.0\.resnets\.0\.conv1 +int8 +\S+…\S+ +\d+\.\d +\d+\.\d +\[/m,
  );
  assert.match(shown.stdout, /conv_shortcut .*\n {2}and its skip +\[/);
  const data = (await runBookend(['inspect', folder, '--json'])).json();
  const { layers } = data.quantization as { layers: { path: string; precision: string }[] };
  assert.ok(layers.some(({ path, precision }) => path === 'conv_out' && precision === 'float'));
});

test('killed at any point, it goes on and ends with the same bytes', async () => {
  const whole = join(scratch, 'whole');
  const once = await runBookend(quantize(whole, ...QUICK));
  assert.equal(once.status, 0, once.stderr);
  const killed = join(scratch, 'killed');
  const killWhen = () => existsSync(join(killed, 'calibration.safetensors'));
  const first = await runBookend(quantize(killed, ...QUICK), { killWhen });
  assert.equal(first.status, null, first.stderr);
  const second = await runBookend(quantize(killed, ...QUICK, '--json'));
  assert.equal(second.status, 0, second.stderr);
  assert.ok((second.json().resumedSamples as number) >= 1);
  assert.equal(jsonOf(killed), jsonOf(whole));
  assert.ok(tensorsOf(killed).equals(tensorsOf(whole)));
  const files = (folder: string) => readdirSync(folder, { recursive: true }).sort();
  assert.deepEqual(files(killed), files(whole));
});

test('Ctrl-C ends with status 130 and leaves what can be gone on with', async () => {
  const folder = join(scratch, 'interrupted');
  const args = quantize(folder, '--samples', '500', '--steps', '8', '--buckets', '2');
  const run = await runBookend(args, { interruptAt: 'Calibrating' });
  assert.equal(run.status, 130, run.stderr);
  assert.equal(run.stdout, '');
  const left = readdirSync(folder).filter((name) => name !== 'calibration.safetensors');
  assert.deepEqual(left, ['unet']);
  assert.deepEqual(readdirSync(join(folder, 'unet')), []);
});

test('rules and a config file say which layers to quantize and how', async () => {
  const folder = join(scratch, 'ruled');
  const file = join(scratch, 'config.json');
  writeFileSync(file, JSON.stringify({ buckets: 1, biasCorrection: 'none' }));
  const run = await runBookend(
    quantize(
      folder,
      ...['--samples', '1', '--steps', '2', '--no-sensitivity', '--config', file, '--json'],
      ...[
        '--include',
        'mid_block.*',
        'up_blocks.*',
        '--exclude',
        '*.conv2',
        '--observer',
        'minmax',
      ],
    ),
  );
  assert.equal(run.status, 0, run.stderr);
  const { config, buckets } = JSON.parse(jsonOf(folder));
  assert.equal(config.observer.method, 'minmax');
  assert.equal(config.biasCorrection, 'none');
  const paths = (buckets[0].layers as { path: string }[]).map(({ path }) => path);
  assert.equal(paths.length, run.json().layers);
  assert.ok(paths.every((path) => /^(mid_block|up_blocks)\./.test(path)));
  assert.ok(!paths.some((path) => /(conv2|time_emb_proj|attn2\.to_[kv])$/.test(path)));
});

test('what cannot be is told in a sentence', async () => {
  const out = join(scratch, 'refused');
  const config = join(scratch, 'bad.json');
  writeFileSync(
    config,
    '{"weights": {"dtype": "u8", "granularity": "per-channel", "scheme": "affine"}}',
  );
  const [noOut, method, badConfig, nothing, occupied] = await Promise.all([
    runBookend(['quantize', model]),
    runBookend(quantize(out, '--method', 'magic')),
    runBookend(quantize(out, '--config', config)),
    runBookend(quantize(out, '--include', 'nothing.*')),
    runBookend(['quantize', model, '--out', model]),
  ]);
  assert.deepEqual([noOut.status, method.status], [2, 2]);
  assert.deepEqual([badConfig.status, nothing.status, occupied.status], [1, 2, 2]);
  assert.match(badConfig.stderr, /weights in u8/);
  assert.match(nothing.stderr, /None of the \d+ layers/);
  assert.match(occupied.stderr, /does not exist or is empty/);
  for (const { stdout } of [badConfig, nothing, occupied]) assert.equal(stdout, '');
});
