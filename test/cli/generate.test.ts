import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readImage, readPngText } from '../../src/index.ts';
import { writeTinyModel } from '../golden/pipelines/tiny-models.ts';
import { writeTinyQuantizedModel } from '../golden/pipelines/tiny-quantized.ts';
import { runBookend } from './run-bookend.ts';

const scratch = mkdtempSync(join(tmpdir(), 'bookend-cli-'));
const model = await writeTinyModel('sd', join(scratch, 'sd'));
after(() => rmSync(scratch, { recursive: true, force: true }));

/** An empty folder for what one test writes. */
function folderFor(name: string): string {
  const folder = join(scratch, name);
  mkdirSync(folder);
  return folder;
}

test('--json: images, and one object that accounts for the run', async () => {
  const folder = folderFor('json');
  const out = join(folder, 'apple.png');
  const run = await runBookend([
    ...['generate', 'a red apple', '--model', model, '--steps', '3', '--seed', '7'],
    ...['--count', '2', '--scheduler', 'ddim', '--negative', 'blurry', '--precision', 'fp32'],
    ...['--out', out, '--json'],
  ]);
  assert.equal(run.status, 0, run.stderr);
  assert.equal(run.stdout.trimEnd().split('\n').length, 1);
  const { images, seed, schedule, timings, peakMemory } = run.json();
  const files = [join(folder, 'apple-0.png'), join(folder, 'apple-1.png')];
  assert.deepEqual(images, files);
  assert.equal(seed, 7);
  assert.deepEqual(schedule, ['fp32', 'fp32', 'fp32']);
  const { textEncode, steps, decode, total } = timings as Record<string, number>;
  const seconds = [textEncode, ...(steps as unknown as number[]), decode, total];
  assert.equal(seconds.length, 6);
  assert.ok(seconds.every((value) => value > 0));
  assert.ok((peakMemory as number) > 2 ** 20);
  assert.deepEqual(readdirSync(folder).sort(), ['apple-0.png', 'apple-1.png']);
  for (const [i, file] of files.entries()) {
    const { width, height } = await readImage(file);
    assert.deepEqual([width, height], [32, 32]);
    assert.equal(
      (await readPngText(file)).parameters,
      `a red apple\nNegative prompt: blurry\nSteps: 3, Sampler: DDIM, CFG scale: 7.5, Seed: ${7 + i}, Size: 32x32, Model: sd, Precision: fp32, Version: Bookend`,
    );
  }
  assert.match(run.stderr, /3\/3 .*s\/step.*\nDecoding\n(.*\n)*Decoding █+ 2\/2 .*s\/tile/);
});

test('without --json only the paths go to stdout; --image and --mask redraw', async () => {
  const folder = folderFor('redraw');
  const common = ['--model', model, '--steps', '4', '--seed', '1', '--scheduler', 'ddim', '--out'];
  const first = join(folder, 'first.png');
  const drawn = await runBookend(['generate', 'an apple', ...common, first]);
  assert.equal(drawn.status, 0, drawn.stderr);
  assert.equal(drawn.stdout, `${first}\n`);
  const redrawn = join(folder, 'second.png');
  const repainted = join(folder, 'third.png');
  const runs = await Promise.all([
    runBookend(['generate', 'x', '--image', first, '--strength', '0.5', ...common, redrawn]),
    runBookend(['generate', 'x', '--image', first, '--mask', first, ...common, repainted]),
  ]);
  for (const { status, stderr } of runs) assert.equal(status, 0, stderr);
  assert.match(runs[0].stderr, / 2\/2 /);
  assert.match((await readPngText(redrawn)).parameters, /Denoising strength: 0.5/);
  assert.match((await readPngText(repainted)).parameters, /Denoising strength: 1/);
});

test('an unconditional model needs no prompt', async () => {
  const out = join(folderFor('noise'), 'noise.png');
  const ddpm = await writeTinyModel('ddpm', join(scratch, 'ddpm'));
  const run = await runBookend(['generate', '-m', ddpm, '--steps', '3', '--out', out, '--json']);
  assert.equal(run.status, 0, run.stderr);
  assert.equal((await readImage(out)).width, 8);
});

test('Ctrl-C ends within a step, with status 130, and leaves nothing behind', async () => {
  const folder = folderFor('interrupted');
  const start = performance.now();
  const run = await runBookend(
    ['generate', 'x', '--model', model, '--steps', '900', '--out', join(folder, 'x.png')],
    { interruptAt: '/901' },
  );
  assert.equal(run.status, 130, run.stderr);
  assert.equal(run.stdout, '');
  assert.doesNotMatch(run.stderr, /901\/901/);
  assert.ok(performance.now() - start < 20_000);
  assert.deepEqual(readdirSync(folder), []);
});

test('a disk that fills up is an error, and nothing half-written stays', async () => {
  const folder = folderFor('full');
  const run = await runBookend(
    ['generate', 'x', '--model', model, '--steps', '2', '--out', join(folder, 'x.png')],
    { fileBlocks: 1 },
  );
  assert.equal(run.status, 1, run.stderr);
  assert.match(run.stderr.trimEnd().split('\n').at(-1) ?? '', /^Cannot write .*x\.png.*\.$/);
  assert.deepEqual(readdirSync(folder), []);
});

test('--precision mixed: the schedule step by step, in JSON, PNG and summary', async () => {
  const out = join(folderFor('mixed'), 'mixed.png');
  const quantized = await writeTinyQuantizedModel(join(scratch, 'int8'));
  const common = ['generate', 'an apple', '--model', quantized, '--steps', '5', '--seed', '1'];
  const mixed = ['--scheduler', 'ddim', '--precision', 'mixed', '--high-precision-steps', '1'];
  const run = await runBookend([...common, ...mixed, '--out', out, '--json']);
  assert.equal(run.status, 0, run.stderr);
  const [high] = run.json().schedule as string[];
  assert.match(high, /^(bf16|fp32)$/);
  assert.deepEqual(run.json().schedule, [high, 'int8', 'int8', 'int8', high]);
  const schedule = `${high}x1,int8x3,${high}x1`;
  assert.ok((await readPngText(out)).parameters.includes(`, Precision: "${schedule}", Version`));
  const again = await runBookend([
    ...common,
    '--scheduler',
    'ddim',
    '--schedule',
    schedule,
    ...['--out', out],
  ]);
  assert.equal(again.status, 0, again.stderr);
  assert.match(again.stderr, new RegExp(`Seed 1, ${schedule}, `));
});

test('INT8 without an integer dot product warns, once, and runs', async () => {
  const quantized = await writeTinyQuantizedModel(join(scratch, 'slow'));
  const out = join(folderFor('warned'), 'x.png');
  const args = ['generate', 'x', '--model', quantized, '--steps', '2', '--out', out];
  const slow = { environment: { BOOKEND_ISA: 'scalar' } };
  const run = await runBookend([...args, '--precision', 'int8'], slow);
  assert.equal(run.status, 0, run.stderr);
  assert.equal(run.stderr.split('Warning: ').length, 2, run.stderr);
  assert.match(run.stderr, /^Warning: scalar .*no integer dot product.*\.$/m);
  const quiet = await runBookend(args, slow);
  assert.doesNotMatch(quiet.stderr, /Warning/);
});

test('precisions that cannot be had are wrong usage, in a sentence', async () => {
  const out = join(folderFor('refused'), 'x.png');
  const cases: [string[], RegExp][] = [
    [['--precision', 'mixed'], /bookend quantize .* --out DIR/],
    [['--precision', 'auto'], /no budget/],
    [['--precision', 'fp32', '--max-seconds', '3'], /goes with precision 'auto'/],
    [['--schedule', 'bf16x3,int4'], /cannot be read at "int4"/],
    [
      ['--schedule', 'fp32x3', '--steps', '2', '--scheduler', 'ddim'],
      /evaluates the model 2 times/,
    ],
    [['--precision', 'int4'], /Allowed choices are fp32, bf16, int8, mixed, auto/],
  ];
  for (const [options, message] of cases) {
    const run = await runBookend(['generate', 'x', '--model', model, '--out', out, ...options]);
    assert.equal(run.status, 2, run.stderr);
    assert.match(run.stderr.trimEnd().split('\n').at(-1) ?? '', message);
  }
});
