/**
 * Kills training with SIGKILL at random moments and takes it up again with --resume, until it is done,
 * and compares what it has made with an uninterrupted run: every file byte for byte, and every loss in
 * the log. Runs both commands on the embedded model; a few minutes each.
 *
 *   npm run verify:resume -- [--kills 20] [--steps 12] [--only held,moving,learned,train] [--seed 1]
 */
import { createHash } from 'node:crypto';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { RandomStream } from '../src/training/random-stream.ts';
import { type Outcome, runBookend } from '../test/cli/run-bookend.ts';
import { writeTrainingImages } from '../test/support/training-images.ts';

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '20' },
    steps: { type: 'string', default: '12' },
    only: { type: 'string', default: 'held,moving,learned,train' },
    seed: { type: 'string', default: '1' },
  },
});

const scratch = mkdtempSync(join(tmpdir(), 'bookend-resume-'));
const data = join(scratch, 'data');
const cache = join(scratch, 'cache');

const shared = [
  ...['--steps', values.steps, '--batch-size', '1', '--checkpoint-every', '2'],
  ...['--cache', cache, '--seed', '3'],
];
const calibration = ['--samples', '2', '--calibration-steps', '8', '--no-sensitivity'];
const quantize = ['quantize', 'emoji', '--method', 'qat', ...shared, ...calibration];
const COMMANDS: Readonly<Record<string, readonly string[]>> = {
  held: [...quantize, '--data', data],
  moving: [...quantize, '--data', data, '--accumulation', '2', '--scales', 'moving'],
  learned: [
    ...quantize,
    '--data-free',
    '--trajectories',
    '3',
    '--inference-steps',
    '12',
    '--scales',
    'learned',
  ],
  train: ['train', 'emoji', ...shared, '--data', data, '--rate-schedule', 'cosine'],
};

/** What must be equal, by file: hashes, and the log without times. The page is made of the log. */
function contentOf(out: string): Map<string, string> {
  const files = globSync('**/*', { cwd: out }).filter((file) => statSync(join(out, file)).isFile());
  const content = new Map<string, string>();
  for (const file of files.sort()) {
    const bytes = readFileSync(join(out, file));
    if (file === 'train.jsonl')
      content.set(file, bytes.toString().replaceAll(/"seconds":[^}]*/g, ''));
    else if (file !== 'train.html') {
      content.set(file, createHash('sha256').update(bytes).digest('hex'));
    }
  }
  return content;
}

function differences(out: string, expected: ReadonlyMap<string, string>): string[] {
  const found = contentOf(out);
  const names = new Set([...expected.keys(), ...found.keys()]);
  return [...names].filter((name) => found.get(name) !== expected.get(name));
}

function requireDone({ status, stderr }: Outcome, what: string): void {
  if (status === 0) return;
  throw new Error(`${what} ended with status ${status}:\n${stderr}`);
}

async function verify(name: string, kills: number): Promise<boolean> {
  const random = RandomStream.start(Number(values.seed), 'shuffling', name.length);
  const whole = join(scratch, `${name}-whole`);
  const args = COMMANDS[name];
  const begin = performance.now();
  requireDone(await runBookend([...args, '--out', whole]), `${name}, uninterrupted`);
  const duration = performance.now() - begin;
  const expected = contentOf(whole);
  console.log(
    `${name}: ${values.steps} steps in ${(duration / 1000).toFixed(1)} s, ${expected.size} files`,
  );
  let [killed, complete] = [0, 0];
  const wrong = new Set<string>();
  while (killed < kills) {
    const out = join(scratch, `${name}-killed`);
    rmSync(out, { recursive: true, force: true });
    rmSync(cache, { recursive: true, force: true });
    for (let done = false; !done; ) {
      const killWhen = killed < kills ? randomMoment(random, out, duration) : undefined;
      const run = await runBookend([...args, '--out', out, '--resume'], { killWhen });
      done = run.status !== null;
      if (done) requireDone(run, `${name}, after ${killed} kills`);
      else console.log(`  kill ${++killed}: ${lastLine(run)}`);
    }
    complete++;
    for (const file of differences(out, expected)) wrong.add(file);
  }
  const verdict = wrong.size === 0 ? 'equal' : `DIFFERENT: ${[...wrong].join(', ')}`;
  console.log(`${name}: ${killed} kills over ${complete} runs; files and losses ${verdict}`);
  return wrong.size === 0;
}

/** Every other one is any moment at all; the rest come once training is under way. */
function randomMoment(random: RandomStream, out: string, duration: number): () => boolean {
  const begin = Date.now();
  const delay = random.uniform() * 0.6 * duration;
  if (random.below(2) === 0) return () => Date.now() - begin > delay;
  const log = join(out, 'train.jsonl');
  let training: number | undefined;
  return () => {
    if (existsSync(log) && statSync(log).mtimeMs > begin) training ??= Date.now();
    return training !== undefined && Date.now() - training > delay;
  };
}

function lastLine({ stderr }: Outcome): string {
  return (
    stderr
      .trimEnd()
      .split('\n')
      .at(-1)
      ?.replace(/[█░]+ /, '') || 'not yet begun'
  );
}

try {
  await writeTrainingImages(data, 3, 64);
  let sound = true;
  for (const name of values.only.split(',')) {
    sound = (await verify(name, Number(values.kills))) && sound;
  }
  process.exitCode = sound ? 0 : 1;
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
