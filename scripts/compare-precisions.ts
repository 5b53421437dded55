/**
 * What each precision costs in quality: draws the same prompts with the same seeds in every
 * precision and prints the PSNR to the FP32 images. Images are kept in the output folder, and a
 * second call goes on where the first one stopped.
 *
 *   npm run compare:precisions -- QUANTIZED_MODEL --prompts FILE --out FOLDER
 *     [--count 200] [--steps 50] [--guidance 7.5] [--scheduler ddim] [--seed 1000] [--only NAME,...]
 */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { psnr } from '../src/evaluation/psnr.ts';
import {
  type LoadOptions,
  readImage,
  type SchedulerName,
  StableDiffusionPipeline,
  writePng,
} from '../src/index.ts';

/** From the most to the least precise; PSNRs should fall in this order. */
const SETTINGS: readonly { readonly name: string; readonly options: LoadOptions }[] = [
  { name: 'fp32', options: { precision: 'fp32' } },
  { name: 'bf16', options: { precision: 'bf16' } },
  ...[8, 5, 3, 2, 1].map((k) => ({
    name: `mixed k=${k}`,
    options: { precision: 'mixed', highPrecisionSteps: k } as const,
  })),
  { name: 'int8', options: { precision: 'int8' } },
];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    prompts: { type: 'string' },
    out: { type: 'string' },
    count: { type: 'string', default: '200' },
    steps: { type: 'string', default: '50' },
    guidance: { type: 'string', default: '7.5' },
    scheduler: { type: 'string', default: 'ddim' },
    seed: { type: 'string', default: '1000' },
    only: { type: 'string' },
  },
});
const [model] = positionals;
if (!model || !values.prompts || !values.out) {
  console.error('Name a quantized model, --prompts FILE (one a line) and --out FOLDER.');
  process.exit(2);
}
const folder = values.out;
const prompts = readFileSync(values.prompts, 'utf8')
  .split('\n')
  .filter((line) => line.trim() !== '')
  .slice(0, Number(values.count));
const wanted = values.only?.split(',');
const chosen = SETTINGS.filter(({ name }) => name === 'fp32' || !wanted || wanted.includes(name));

const pathOf = (name: string, i: number) =>
  join(folder, name.replaceAll(/\W+/g, '-'), `${String(i).padStart(4, '0')}.png`);

async function draw({ name, options }: (typeof SETTINGS)[number]): Promise<number[]> {
  const missing = prompts.flatMap((_, i) => (existsSync(pathOf(name, i)) ? [] : [i]));
  if (missing.length === 0) return [];
  mkdirSync(join(pathOf(name, 0), '..'), { recursive: true });
  const pipe = await StableDiffusionPipeline.fromPretrained(model, options);
  const seconds: number[] = [];
  for (const i of missing) {
    const { images, timings } = await pipe(prompts[i], {
      numInferenceSteps: Number(values.steps),
      guidanceScale: Number(values.guidance),
      scheduler: values.scheduler as SchedulerName,
      seed: Number(values.seed) + i,
    });
    await writePng(pathOf(name, i), images[0], {});
    seconds.push(timings.total);
    if (seconds.length % 20 === 0) process.stderr.write(`${name}: ${i + 1}/${prompts.length}\n`);
  }
  await pipe.dispose();
  return seconds;
}

async function report(name: string, seconds: readonly number[]): Promise<void> {
  const values: number[] = [];
  for (const i of prompts.keys()) {
    values.push(psnr(await readImage(pathOf(name, i)), await readImage(pathOf('fp32', i))));
  }
  const finite = values.filter(Number.isFinite).sort((a, b) => a - b);
  const mean = finite.reduce((sum, value) => sum + value, 0) / finite.length;
  const variance = finite.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (finite.length - 1);
  const time = [...seconds].sort((a, b) => a - b)[Math.floor(seconds.length / 2)];
  console.log(
    [
      name.padEnd(10),
      mean.toFixed(2).padStart(7),
      `± ${Math.sqrt(variance / finite.length).toFixed(2)}`,
      `median ${finite[Math.floor(finite.length / 2)]?.toFixed(2)}`,
      `worst ${finite[0]?.toFixed(2)}`,
      time === undefined ? '' : `${time.toFixed(3)} s an image`,
    ].join('  '),
  );
}

console.log(
  `${prompts.length} prompts, ${values.steps} steps of ${values.scheduler}, guidance ${values.guidance}; PSNR to FP32 in dB, mean ± standard error; ${cpus()[0]?.model.trim()}`,
);
for (const setting of chosen) {
  const seconds = await draw(setting);
  if (setting.name !== 'fp32') await report(setting.name, seconds);
}
