import assert from 'node:assert/strict';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { writeTinyModel } from '../golden/pipelines/tiny-models.ts';
import { writeTrainingImages } from '../support/training-images.ts';
import { runBookend } from './run-bookend.ts';

const scratch = mkdtempSync(join(tmpdir(), 'bookend-train-'));
const model = await writeTinyModel('sd', join(scratch, 'sd'));
const data = await writeTrainingImages(join(scratch, 'images'));
const cache = join(scratch, 'cache');
after(() => rmSync(scratch, { recursive: true, force: true }));

const STEPS = 40;
const training = [
  ...['--steps', String(STEPS), '--batch-size', '2', '--learning-rate', '1e-5'],
  ...['--checkpoint-every', '3', '--cache', cache],
];
const images = ['--data', data];
const train = (out: string, ...more: string[]) => [
  ...['train', model, '--out', out, ...images, ...training, ...more],
];
const quantize = (out: string, ...more: string[]) => [
  ...['quantize', model, '--out', out, '--method', 'qat', ...training, '--no-sensitivity'],
  ...['--samples', '1', '--calibration-steps', '10', '--buckets', '2', ...more],
];

interface Line {
  readonly step: number;
  readonly loss: number;
  readonly seconds: number;
}
function linesOf(out: string): Line[] {
  const path = join(out, 'train.jsonl');
  if (!existsSync(path)) return [];
  const complete = readFileSync(path, 'utf8').split('\n').slice(0, -1);
  return complete.map((line) => JSON.parse(line));
}

/** Everything in a folder but times. */
function contentOf(out: string): Map<string, string> {
  const files = globSync('**/*', { cwd: out }).filter((file) => statSync(join(out, file)).isFile());
  const content = files.sort().map((file): [string, string] => {
    if (file === 'train.html') return [file, ''];
    if (file !== 'train.jsonl') return [file, readFileSync(join(out, file), 'base64')];
    return [file, JSON.stringify(linesOf(out).map(({ seconds, ...line }) => line))];
  });
  return new Map(content);
}

test('quantize with training makes a model that runs in INT8, and says how it went', async () => {
  const out = join(scratch, 'qat');
  const run = await runBookend(quantize(out, ...images, '--json'));
  assert.equal(run.status, 0, run.stderr);
  assert.equal(run.json().out, out);
  assert.match(run.stderr, /^Training .* 40\/40 .* loss \S+ \(mean of 20: \S+\)$/m);
  const lines = linesOf(out);
  assert.deepEqual(
    lines.map(({ step }) => step),
    Array.from({ length: STEPS }, (_, i) => i + 1),
  );
  const page = readFileSync(join(out, 'train.html'), 'utf8');
  assert.match(page, /40 of 40/);
  assert.match(page, /to the original model/);
  const image = join(scratch, 'x.png');
  const drawn = await runBookend([
    ...['generate', 'an apple', '--model', out, '--precision', 'int8', '--steps', '2'],
    ...['--out', image],
  ]);
  assert.equal(drawn.status, 0, drawn.stderr);
  // Again from what it has made, without images.
  const again = await runBookend([
    ...['quantize', out, '--method', 'qat', '--data-free', '--steps', '2', '--batch-size', '1'],
    ...['--trajectories', '1', '--inference-steps', '12', '--cache', cache, '--no-sensitivity'],
    ...['--out', join(scratch, 'again')],
  ]);
  assert.equal(again.status, 0, again.stderr);
});

test('killed at several points and resumed, it ends with the same bytes', async () => {
  const runs = [
    { name: 'qat', command: (out: string) => quantize(out, ...images), kills: [4, 18] },
    { name: 'trained', command: train, kills: [8] },
  ];
  for (const { name, command, kills } of runs) {
    const whole = join(scratch, name);
    if (!existsSync(whole)) {
      const once = await runBookend(command(whole));
      assert.equal(once.status, 0, once.stderr);
    }
    const killed = join(scratch, `${name}-killed`);
    for (const lines of kills) {
      const killWhen = () => linesOf(killed).length >= lines;
      const run = await runBookend([...command(killed), '--resume'], { killWhen });
      assert.equal(run.status, null, run.stderr);
    }
    const last = await runBookend([...command(killed), '--resume']);
    assert.equal(last.status, 0, last.stderr);
    assert.match(last.stderr, /^Going on after step \d+ of 40$/m);
    assert.deepEqual(contentOf(killed), contentOf(whole));
  }
});

test('Ctrl-C stores the state and says how to go on', async () => {
  const out = join(scratch, 'interrupted');
  const long = train(out, '--checkpoint-every', '100000');
  long[long.indexOf('--steps') + 1] = '100000';
  const run = await runBookend(long, { interruptAt: 'Training' });
  assert.equal(run.status, 130, run.stderr);
  assert.equal(run.stdout, '');
  const last = run.stderr.trimEnd().split('\n').at(-1) ?? '';
  const [, step, command] =
    /^Stopped after step (\d+) of 100000.*`(bookend train .*)`\.$/.exec(last) ?? [];
  assert.match(command, / --resume$/);
  assert.equal(linesOf(out).length, Number(step));
  const refused = await runBookend(long);
  assert.equal(refused.status, 2);
  assert.match(refused.stderr, /training under way.*--resume/);
});

test('a full disk ends with a sentence and the last state intact', async () => {
  const out = join(scratch, 'full');
  const first = await runBookend(train(out), { killWhen: () => linesOf(out).length >= 4 });
  assert.equal(first.status, null, first.stderr);
  const state = readFileSync(join(out, 'training.safetensors'));
  const full = await runBookend(train(out, '--resume'), { fileBlocks: 4 });
  assert.equal(full.status, 1, full.stderr);
  assert.match(full.stderr, /Cannot write .*; choose another place\.\n$/);
  assert.ok(readFileSync(join(out, 'training.safetensors')).equals(state));
  const last = await runBookend(train(out, '--resume'));
  assert.equal(last.status, 0, last.stderr);
  assert.deepEqual(globSync('**/*.tmp', { cwd: out }), []);
});

test('a loss that is not a number ends with a sentence', async () => {
  const out = join(scratch, 'nan');
  const args = train(out, '--clip', '1e9', '--weight-decay', '0');
  args[args.indexOf('--learning-rate') + 1] = '1e9';
  const run = await runBookend(args);
  assert.equal(run.status, 1, run.stderr);
  assert.match(run.stderr, /step \d+ .*lower learning rate\.\n$/);
});
