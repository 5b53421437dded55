/**
 * What quantization-aware training gains and what its parts contribute: trains every arm with every
 * seed, draws held-out prompts with each model, and compares with the FP32 images. Whatever is in the
 * output folder is not made again; stopped at any point, a second call goes on there.
 *
 *   npm run -s compare:qat -- --data FOLDER --out FOLDER [--model models/emoji] [--seeds 1,2,3]
 *     [--arms NAME,...] [--prompts FILE] [--count 200] [--image-seed 1000] [--steps 300]
 *     [--batch-size 4] [--learning-rate 1e-5] …
 *
 * `--data` is what scripts/qat/split.ts made. Writes results.json and results.md into `--out`.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readPrompts } from '../../src/io/prompts.ts';
import type { ImageSetPlan } from '../../src/pipelines/evaluation/image-set.ts';
import { ARMS, modelFolder, modelName, type Places, type Recipe, trainArm } from './arms.ts';
import { drawSet, folderOf, type PrecisionSetting, psnrsTo } from './precision-images.ts';
import { type ArmResult, markdownOf, rowsOf } from './report.ts';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: join(import.meta.dirname, '../../models/emoji') },
    data: { type: 'string' },
    out: { type: 'string' },
    arms: { type: 'string', default: ARMS.map(({ name }) => name).join(',') },
    seeds: { type: 'string', default: '1,2,3' },
    prompts: { type: 'string' },
    count: { type: 'string', default: '200' },
    'image-seed': { type: 'string', default: '1000' },
    guidance: { type: 'string', default: '3' },
    steps: { type: 'string', default: '300' },
    'batch-size': { type: 'string', default: '4' },
    'learning-rate': { type: 'string', default: '1e-5' },
    'rate-schedule': { type: 'string', default: 'cosine' },
    'warm-up': { type: 'string', default: '20' },
    ema: { type: 'string', default: '0.9999' },
    dropout: { type: 'string', default: '0.3' },
    scales: { type: 'string', default: 'held' },
    trajectories: { type: 'string', default: '64' },
    'only-train': { type: 'boolean', default: false },
  },
});
const { data, out } = values;
if (!data || !out) {
  console.error(
    'Name --data, a folder that scripts/qat/split.ts made, and --out, one for results.',
  );
  process.exit(2);
}
const places: Places = { model: values.model, data, out };
const recipe: Recipe = {
  steps: Number(values.steps),
  batchSize: Number(values['batch-size']),
  learningRate: Number(values['learning-rate']),
  rateSchedule: values['rate-schedule'] as Recipe['rateSchedule'],
  warmupSteps: Number(values['warm-up']),
  emaDecay: values.ema === 'none' ? null : Number(values.ema),
  conditioningDropout: Number(values.dropout),
  scales: values.scales as Recipe['scales'],
  guidance: Number(values.guidance),
  trajectories: Number(values.trajectories),
};
const names = values.arms.split(',');
const arms = ARMS.filter(({ name }) => name === 'ptq' || names.includes(name));
const seeds = values.seeds.split(',').map(Number);

const prompts = await readPrompts(values.prompts ?? join(data, 'held-out.txt'));
const plan: ImageSetPlan = {
  entries: prompts.slice(0, Number(values.count)),
  seed: Number(values['image-seed']),
  sampling: { numInferenceSteps: 50, guidanceScale: recipe.guidance, scheduler: 'ddim' },
};
const REFERENCE: PrecisionSetting = { name: 'fp32', options: { precision: 'fp32' } };
const SETTINGS: readonly PrecisionSetting[] = [
  { name: 'int8', options: { precision: 'int8' } },
  { name: 'mixed k=5', options: { precision: 'mixed', highPrecisionSteps: 5 } },
];

const reference = join(out, 'images', REFERENCE.name);
const psnrs = new Map(
  arms.map(({ name }) => [name, SETTINGS.map((): (readonly number[])[] => [])]),
);
const seconds = new Map(arms.map(({ name }) => [name, [] as number[]]));

mkdirSync(out, { recursive: true });
if (!values['only-train']) await drawSet(values.model, REFERENCE, plan, reference);
// Seed by seed: stopped early, some seeds are complete.
for (const [round, seed] of seeds.entries()) {
  for (const arm of arms) {
    if (arm.kind === 'ptq' && round > 0) continue;
    seconds.get(arm.name)!.push(await trainArm(arm, seed, recipe, places));
    if (values['only-train']) continue;
    for (const [i, setting] of SETTINGS.entries()) {
      const images = join(out, 'images', modelName(arm, seed), folderOf(setting.name));
      const drawn = await drawSet(modelFolder(places, arm, seed), setting, plan, images);
      psnrs.get(arm.name)![i].push(await psnrsTo(reference, drawn));
    }
  }
  if (!values['only-train']) report();
}

/** Over the seeds that are complete. */
function report(): void {
  const results: ArmResult[] = arms.map(({ name, title }) => ({
    arm: { name, title },
    psnrs: Object.fromEntries(SETTINGS.map((one, i) => [one.name, psnrs.get(name)![i]])),
    trainingSeconds: seconds.get(name)!,
  }));
  const rows = rowsOf(results, 'ptq');
  const cpu = cpus()[0]?.model.trim() ?? 'unknown';
  const done = seeds.slice(0, seconds.get(arms.at(-1)!.name)!.length);
  const { entries, sampling } = plan;
  const text = `${entries.length} prompts, ${sampling.numInferenceSteps} steps of ${sampling.scheduler}, guidance ${sampling.guidanceScale}, training seeds ${done.join(', ')}; PSNR to FP32; ${cpu}\n\n${markdownOf(rows)}\n`;
  writeFileSync(
    join(out!, 'results.json'),
    `${JSON.stringify({ cpu, recipe, plan, rows, results })}\n`,
  );
  writeFileSync(join(out!, 'results.md'), text);
  console.log(text);
}
