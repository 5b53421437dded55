import assert from 'node:assert/strict';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { quantizePostTraining } from '../../src/index.ts';
import { bestPrecision } from '../../src/pipelines/cpu-precision.ts';
import { writeTinyModel } from '../golden/pipelines/tiny-models.ts';
import { writeTinyQuantizedModel } from '../golden/pipelines/tiny-quantized.ts';
import { runBookend } from './run-bookend.ts';

const scratch = mkdtempSync(join(tmpdir(), 'bookend-sweep-'));
const model = await writeTinyQuantizedModel(join(scratch, 'int8'));
after(() => rmSync(scratch, { recursive: true, force: true }));

const prompts = join(scratch, 'prompts.txt');
writeFileSync(prompts, '<apple & "pear">\nred ball\nblue cup\n');
const sweep = (out: string, ...more: string[]) => [
  ...['sweep', model, '--prompts', prompts, '--steps', '4,3', '--scheduler', 'ddim'],
  ...['--guidance', '3', '--k', '1,2', '--precision', 'bf16,int8,mixed', '--rounds', '1'],
  ...['--sensitivity-prompts', '1', '--blocks', '2', '--out', out, ...more],
];
/** FP32 is there in any case; k = 2 is left out, and BF16 where mixed schedules are made of FP32. */
const SETTINGS = ['fp32', 'bf16', 'int8', 'mixed-k1'];

/** Every image below a folder, and when it was written. */
function imagesIn(out: string): Map<string, number> {
  const root = join(out, 'images');
  const folders = existsSync(root) ? readdirSync(root) : [];
  const files = folders.flatMap((folder) =>
    readdirSync(join(root, folder)).map((file) => join(folder, file)),
  );
  const images = files.filter((file) => file.endsWith('.png'));
  return new Map(images.map((file) => [file, statSync(join(root, file)).mtimeMs]));
}

/** The results of a kind of probe that are there by now. */
function keptIn(out: string, kind: string): [string, unknown][] {
  const folder = join(out, 'probes');
  const files = existsSync(folder) ? readdirSync(folder) : [];
  const file = files.find((name) => name.startsWith(kind));
  return file ? JSON.parse(readFileSync(join(folder, file), 'utf8')).results : [];
}

interface Row {
  readonly steps: number;
  readonly name: string;
  readonly schedule: string;
  readonly toSame: { readonly psnr?: { readonly mean: number }; readonly equal: number };
  readonly seconds: { readonly median: number };
  readonly optimal: { readonly same: boolean; readonly most: boolean };
  readonly recommended: boolean;
}

test('killed while it draws and while it ranks, a sweep ends as one that was not', async () => {
  const out = join(scratch, 'killed');
  const early = await runBookend(sweep(out), { killWhen: () => imagesIn(out).size >= 5 });
  assert.equal(early.status, null, early.stderr);
  const drawn = imagesIn(out);
  const late = await runBookend(sweep(out), {
    killWhen: () => keptIn(out, 'layers').length >= 3,
  });
  assert.equal(late.status, null, late.stderr);
  const [more, ranked] = [imagesIn(out), keptIn(out, 'layers')];
  const last = await runBookend(sweep(out, '--json'));
  assert.equal(last.status, 0, last.stderr);
  const all = imagesIn(out);
  for (const [file, time] of [...drawn, ...more]) assert.equal(all.get(file), time, file);
  assert.deepEqual(keptIn(out, 'layers').slice(0, ranked.length), ranked);

  const whole = await runBookend(sweep(join(scratch, 'whole'), '--json'));
  assert.equal(whole.status, 0, whole.stderr);
  const found = (run: typeof whole) =>
    (run.json().settings as Row[])
      .filter(({ name }) => name !== 'auto')
      .map(({ steps, name, schedule, toSame }) => ({ steps, name, schedule, toSame }));
  assert.deepEqual(found(last), found(whole));
  assert.deepEqual(last.json().layerRanking, whole.json().layerRanking);
  assert.deepEqual(last.json().stepSensitivity, whole.json().stepSensitivity);
  checkResult(last.json().settings as Row[]);
  checkReport(out);

  const before = readFileSync(join(out, 'sweep.json'));
  const again = await runBookend(sweep(out));
  assert.equal(again.status, 0, again.stderr);
  assert.doesNotMatch(again.stderr, /Drawing|Layers|Steps in INT8|Timing/);
  assert.deepEqual(imagesIn(out), all);
  assert.deepEqual(readFileSync(join(out, 'sweep.json')), before);
  assert.match(again.stdout, /^steps +setting .*\n─+.*\n +4 +fp32 /);
});

function checkResult(rows: readonly Row[]): void {
  const hasBf16 = bestPrecision() === 'bf16';
  for (const steps of [4, 3]) {
    const own = rows.filter((row) => row.steps === steps);
    const names = own.map(({ name }) => name).filter((name) => name !== 'auto');
    assert.deepEqual(names, hasBf16 ? SETTINGS : names.filter((name) => SETTINGS.includes(name)));
    assert.equal(own.filter(({ recommended }) => recommended).length, 1);
    assert.equal(own[0].toSame.equal, 3);
    assert.equal(own[0].toSame.psnr, undefined);
    // Whoever is fastest is as fast as nobody else and so optimal.
    const fastest = own.reduce((a, b) => (b.seconds.median < a.seconds.median ? b : a));
    assert.ok(fastest.optimal.same);
  }
  const int8 = rows.find(({ name }) => name === 'int8')!;
  assert.ok(int8.toSame.psnr!.mean > 10 && int8.toSame.psnr!.mean < 80);
  const mixed = rows.find(({ name, steps }) => name === 'mixed-k1' && steps === 4)!;
  assert.equal(mixed.schedule, `${bestPrecision()}x1,int8x2,${bestPrecision()}x1`);
}

function checkReport(out: string): void {
  const page = readFileSync(join(out, 'report.html'), 'utf8');
  // Quality against latency overall and for each number of steps, the steps, layers and their kinds.
  assert.equal(page.match(/<svg /g)?.length, 6);
  assert.ok(page.match(/<img src="data:image\/webp;base64,/g)!.length >= 3 * 7);
  assert.ok(page.includes('&lt;apple &amp; &quot;pear&quot;&gt;'));
  assert.ok(!page.includes('<apple') && !/<script|https?:/.test(page));
  assert.match(page, /<p>At 4 steps .* of the \d settings measured, the fastest /);
  assert.match(page, /recommended at 3 steps/);
  const {
    settings,
    images,
    timings,
    model: swept,
  } = JSON.parse(readFileSync(join(out, 'sweep.json'), 'utf8'));
  assert.equal(swept, model);
  assert.equal(images.length, settings.length);
  assert.equal(images[0].images.length, 3);
  assert.ok(timings.evaluations.int8.length >= 1);
}

test('Ctrl-C keeps what was drawn', async () => {
  const out = join(scratch, 'interrupted');
  const run = await runBookend(sweep(out), { interruptAt: 'Drawing 4-int8' });
  assert.equal(run.status, 130, run.stderr);
  assert.match(run.stderr, /stopped/);
  const kept = imagesIn(out);
  assert.ok(kept.size > 0);
  const rest = await runBookend(sweep(out, '--layers', 'none', '--min-psnr', '90'));
  assert.equal(rest.status, 0, rest.stderr);
  const all = imagesIn(out);
  for (const [file, time] of kept) assert.equal(all.get(file), time, file);
  assert.match(rest.stdout, /\nAt 4 steps fp32: .* at least 90\.0 dB/);
});

test('a model without INT8 is refused before it draws, unless none is asked for', async () => {
  const ddpm = await writeTinyModel('ddpm', join(scratch, 'ddpm'));
  const out = join(scratch, 'plain');
  const args = ['sweep', ddpm, '--count', '2', '--steps', '3', '--out', out];
  const refused = await runBookend(args);
  assert.equal(refused.status, 2, refused.stderr);
  assert.match(refused.stderr, /not quantized for INT8 .*bookend quantize/);
  assert.equal(imagesIn(out).size, 0);
  const run = await runBookend([...args, '--precision', 'fp32,bf16', '--rounds', '1', '--json']);
  assert.equal(run.status, 0, run.stderr);
  const names = (run.json().settings as Row[]).map(({ name }) => name);
  assert.deepEqual(names, ['fp32', 'bf16']);
  assert.equal(run.json().layerRanking, undefined);
});

test('a quantized model that draws from noise alone is swept by number', async () => {
  const ddpm = await writeTinyModel('ddpm', join(scratch, 'noise'));
  const quantized = join(scratch, 'noise-int8');
  await quantizePostTraining(ddpm, quantized, {
    ...{ samples: 1, steps: 10, sensitivityPrompts: 0 },
  });
  const args = ['sweep', quantized, '--count', '2', '--steps', '4', '--precision', 'int8,mixed'];
  const out = ['--k', '1', '--rounds', '1', '--out', join(scratch, 'noise-sweep'), '--json'];
  const run = await runBookend([...args, ...out]);
  assert.equal(run.status, 0, run.stderr);
  const { settings, layerRanking, stepSensitivity } = run.json() as Record<string, Row[]>;
  assert.deepEqual(settings.map(({ name }) => name).slice(0, 3), ['fp32', 'int8', 'mixed-k1']);
  assert.ok(layerRanking && stepSensitivity);
});

test('sweep says what is wrong with its options', async () => {
  const out = join(scratch, 'none');
  const cases = [
    { args: ['sweep', model, '--out', out], message: /--prompts, or --count/ },
    { args: sweep(out, '--steps', '4,x'), message: /whole numbers/ },
    { args: sweep(out, '--precision', 'fp32,int4'), message: /list of fp32, bf16, int8, mixed/ },
    { args: sweep(out, '--reference', out), message: /--extractor/ },
  ];
  for (const { args, message } of cases) {
    const run = await runBookend(args);
    assert.equal(run.status, 2, run.stderr);
    assert.match(run.stderr, message);
  }
});
