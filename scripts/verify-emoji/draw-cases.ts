/**
 * Draws the cases of `models/emoji/training/evaluate.py --write-prompts` with Bookend, for its
 * `--images`: DIR/<index>.png for each line {"index", "prompt", "seed"}.
 *
 *   node scripts/verify-emoji/draw-cases.ts prompts.jsonl --out DIR [--steps n] [--guidance g]
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type LoadOptions, StableDiffusionPipeline, writePng } from '../../src/index.ts';

interface Case {
  readonly index: number;
  readonly prompt: string;
  readonly seed: number;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    out: { type: 'string' },
    model: { type: 'string', default: 'models/emoji' },
    steps: { type: 'string', default: '50' },
    guidance: { type: 'string', default: '3' },
    precision: { type: 'string' },
  },
});
const [file] = positionals;
if (!file || !values.out) {
  console.error('Pass the file of cases and --out DIR.');
  process.exit(2);
}

mkdirSync(values.out, { recursive: true });
const cases: Case[] = readFileSync(file, 'utf8')
  .split('\n')
  .filter((line) => line.trim() !== '')
  .map((line) => JSON.parse(line));
const pipe = await StableDiffusionPipeline.fromPretrained(values.model, {
  precision: values.precision as LoadOptions['precision'],
});
const start = performance.now();
for (const { index, prompt, seed } of cases) {
  const { images } = await pipe(prompt, {
    seed,
    numInferenceSteps: Number(values.steps),
    guidanceScale: Number(values.guidance),
  });
  await writePng(join(values.out, `${index}.png`), images[0]);
}
const seconds = (performance.now() - start) / 1000;
console.log(`${cases.length} images in ${seconds.toFixed(0)} s, ${pipe.model.precision}`);
await pipe.dispose();
