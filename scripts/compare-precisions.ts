/**
 * What each precision costs in quality: draws the same prompts with the same seeds in every
 * precision and prints the PSNR to the FP32 images. Images are kept in the output folder, and a
 * second call goes on where the first one stopped.
 *
 *   npm run compare:precisions -- QUANTIZED_MODEL --prompts FILE --out FOLDER
 *     [--count 200] [--steps 50] [--guidance 7.5] [--scheduler ddim] [--seed 1000] [--only NAME,...]
 */
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { median } from '../src/evaluation/benchmark.ts';
import { mean, standardError } from '../src/evaluation/statistics.ts';
import type { SchedulerName } from '../src/index.ts';
import { readPrompts } from '../src/io/prompts.ts';
import type { DrawnImage, ImageSetPlan } from '../src/pipelines/evaluation/image-set.ts';
import { drawSet, folderOf, type PrecisionSetting, psnrsTo } from './precision-images.ts';

/** From the most to the least precise; PSNRs should fall in this order. */
const SETTINGS: readonly PrecisionSetting[] = [
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
  console.error('Name a quantized model, --prompts FILE and --out FOLDER.');
  process.exit(2);
}
const folder = values.out;
const prompts = await readPrompts(values.prompts);
const plan: ImageSetPlan = {
  entries: prompts.slice(0, Number(values.count)),
  seed: Number(values.seed),
  sampling: {
    numInferenceSteps: Number(values.steps),
    guidanceScale: Number(values.guidance),
    scheduler: values.scheduler as SchedulerName,
  },
};
const wanted = values.only?.split(',');
const chosen = SETTINGS.filter(({ name }) => name === 'fp32' || !wanted || wanted.includes(name));

const imagesOf = (name: string) => join(folder, folderOf(name));

async function report(name: string, images: readonly DrawnImage[]): Promise<void> {
  const psnrs = await psnrsTo(imagesOf('fp32'), images);
  const finite = psnrs.filter(Number.isFinite);
  const seconds = median(images.map(({ record }) => record.seconds.total));
  console.log(
    [
      name.padEnd(10),
      mean(finite).toFixed(2).padStart(7),
      `± ${standardError(finite).toFixed(2)}`,
      `median ${median(finite).toFixed(2)}`,
      `worst ${Math.min(...finite).toFixed(2)}`,
      `${seconds.toFixed(3)} s an image`,
    ].join('  '),
  );
}

console.log(
  `${plan.entries.length} prompts, ${values.steps} steps of ${values.scheduler}, guidance ${values.guidance}; PSNR to FP32 in dB, mean ± standard error; ${cpus()[0]?.model.trim()}`,
);
for (const setting of chosen) {
  const images = await drawSet(model, setting, plan, imagesOf(setting.name));
  if (setting.name !== 'fp32') await report(setting.name, images);
}
