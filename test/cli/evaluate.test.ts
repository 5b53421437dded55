import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readImage } from '../../src/index.ts';
import { type ClipFixture, readFixture, writeTinyClip } from '../golden/clip/clip-fixtures.ts';
import { writeTinyModel } from '../golden/pipelines/tiny-models.ts';
import { runBookend } from './run-bookend.ts';

const scratch = mkdtempSync(join(tmpdir(), 'bookend-evaluate-'));
const model = await writeTinyModel('sd', join(scratch, 'sd'));
const clip = await writeTinyClip(readFixture<ClipFixture>('quick-gelu'), join(scratch, 'clip'));
after(() => rmSync(scratch, { recursive: true, force: true }));

const PROMPTS = 12;
const prompts = join(scratch, 'prompts.jsonl');
const lines = Array.from({ length: PROMPTS }, (_, i) => ({ prompt: `<apple & "pear"> ${i}` }));
writeFileSync(prompts, lines.map((line) => JSON.stringify(line)).join('\n'));

const evaluate = (out: string, ...more: string[]) => [
  ...['evaluate', model, '--prompts', prompts, '--steps', '3', '--scheduler', 'ddim'],
  ...['--out', out, ...more],
];
const imagesIn = (out: string) => {
  const folder = join(out, 'images');
  return existsSync(folder) ? readdirSync(folder).filter((file) => file.endsWith('.png')) : [];
};

test('killed at several points, evaluate ends with the images and metrics of a whole run', async () => {
  const fp32 = join(scratch, 'fp32');
  const first = await runBookend(evaluate(fp32, '--precision', 'fp32'));
  assert.equal(first.status, 0, first.stderr);
  assert.match(first.stdout, /^of each image .*\n─+.*\ntime, s +\d/);
  assert.equal(imagesIn(fp32).length, PROMPTS);

  const measures = ['--paired', join(fp32, 'images'), '--clip', clip, '--json'];
  const bf16 = (out: string) => evaluate(out, '--precision', 'bf16', ...measures);
  const whole = join(scratch, 'whole');
  const once = await runBookend(bf16(whole));
  assert.equal(once.status, 0, once.stderr);
  const killed = join(scratch, 'killed');
  for (const count of [2, 7]) {
    const run = await runBookend(bf16(killed), {
      killWhen: () => imagesIn(killed).length >= count,
    });
    assert.equal(run.status, null, run.stderr);
  }
  const kept = imagesIn(killed).length;
  const last = await runBookend(bf16(killed));
  assert.equal(last.status, 0, last.stderr);
  assert.ok(last.stderr.includes(`Going on after ${kept} of ${PROMPTS} images`), last.stderr);
  for (const file of imagesIn(whole)) {
    const [a, b] = [whole, killed].map((out) => readImage(join(out, 'images', file)));
    assert.deepEqual(await a, await b);
  }
  const [expected, actual] = [once, last].map((run) => run.json());
  const { seconds, ...metrics } = actual.metrics as Record<string, object>;
  const { seconds: _, ...same } = expected.metrics as Record<string, object>;
  assert.deepEqual(metrics, same);
  assert.deepEqual(Object.keys(metrics), ['psnr', 'ssim', 'clipScore']);
  assert.ok(seconds);
  checkFiles(killed);
});

function checkFiles(out: string): void {
  const { images, metrics } = JSON.parse(readFileSync(join(out, 'evaluation.json'), 'utf8'));
  assert.equal(images.length, PROMPTS);
  assert.equal(images[3].prompt, lines[3].prompt);
  assert.equal(images[3].seed, 3);
  assert.ok(metrics.psnr.lowest <= metrics.psnr.mean && metrics.psnr.count === PROMPTS);
  const page = readFileSync(join(out, 'report.html'), 'utf8');
  assert.equal(page.match(/<svg /g)?.length, 4);
  // The worst by PSNR and SSIM with their pairs, the worst by CLIP score, and all of them.
  assert.equal(page.match(/<img src="data:image\/webp;base64,/g)?.length, 6 * PROMPTS);
  assert.ok(page.includes('&lt;apple &amp; &quot;pear&quot;&gt; 0'));
  assert.ok(!page.includes('<apple') && !/<script|https?:/.test(page));
}

test('evaluate says what is wrong before it draws', async () => {
  const out = join(scratch, 'none');
  const cases = [
    { args: ['evaluate', model, '--out', out], status: 2, message: /--prompts, or --count/ },
    { args: evaluate(out, '--reference', out), status: 2, message: /--extractor/ },
    { args: evaluate(out, '--paired', scratch), status: 1, message: /no .*00000\.png/ },
    { args: evaluate(out, '--clip', model), status: 1, message: /config\.json/ },
    { args: evaluate(out, '--precision', 'int8'), status: 2, message: /quantize/ },
    { args: ['evaluate', model, '--count', '2', '--out', out], status: 2, message: /from text/ },
  ];
  for (const { args, status, message } of cases) {
    const run = await runBookend(args);
    assert.equal(run.status, status, run.stderr);
    assert.match(run.stderr, message);
    assert.deepEqual(imagesIn(out), []);
  }
});

test('several images of a prompt have seeds one after the other', async () => {
  const out = join(scratch, 'several');
  const file = join(scratch, 'two.jsonl');
  writeFileSync(file, '{"prompt": "a", "seed": 90, "id": "first"}\n{"text": "b"}\n{"text": "c"}');
  const run = await runBookend([
    ...['evaluate', model, '--prompts', file, '--count', '2', '--images-per-prompt', '2'],
    ...['--seed', '5', '--steps', '1', '--out', out],
  ]);
  assert.equal(run.status, 0, run.stderr);
  const { images } = JSON.parse(readFileSync(join(out, 'evaluation.json'), 'utf8'));
  const found = images.map((image: Record<string, unknown>) => [
    image.prompt,
    image.seed,
    image.id,
  ]);
  assert.deepEqual(found, [
    ['a', 90, 'first'],
    ['a', 91, 'first'],
    ['b', 7, undefined],
    ['b', 8, undefined],
  ]);
});

test('a model that draws from noise alone is evaluated by number', async () => {
  const ddpm = await writeTinyModel('ddpm', join(scratch, 'ddpm'));
  const out = join(scratch, 'noise');
  const common = ['evaluate', ddpm, '--count', '3', '--steps', '2', '--out', out];
  const run = await runBookend([...common, '--json']);
  assert.equal(run.status, 0, run.stderr);
  assert.equal(run.json().images, 3);
});
