import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { psnr } from '../src/evaluation/psnr.ts';
import {
  type LoadOptions,
  readImage,
  type SchedulerName,
  StableDiffusionPipeline,
  writePng,
} from '../src/index.ts';

/** A way to run a quantized model. */
export interface PrecisionSetting {
  readonly name: string;
  readonly options: LoadOptions;
}

/** What is drawn: the image of prompt i has seed `seed` + i. */
export interface ImagePlan {
  readonly prompts: readonly string[];
  readonly steps: number;
  readonly guidance: number;
  readonly scheduler: SchedulerName;
  readonly seed: number;
}

/** The lines of a file that say something. */
export function readPrompts(path: string): string[] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line.trim() !== '');
}

const imagePath = (folder: string, i: number) => join(folder, `${String(i).padStart(4, '0')}.png`);

/** A folder name for a setting. */
export const folderOf = (name: string) => name.replaceAll(/\W+/g, '-');

/**
 * Draws the images of a plan that `folder` lacks.
 *
 * @returns the seconds of each that was drawn
 */
export async function drawMissing(
  model: string,
  { name, options }: PrecisionSetting,
  plan: ImagePlan,
  folder: string,
): Promise<number[]> {
  const missing = [...plan.prompts.keys()].filter((i) => !existsSync(imagePath(folder, i)));
  if (missing.length === 0) return [];
  mkdirSync(folder, { recursive: true });
  const pipe = await StableDiffusionPipeline.fromPretrained(model, options);
  const seconds: number[] = [];
  for (const i of missing) {
    const { images, timings } = await pipe(plan.prompts[i], {
      numInferenceSteps: plan.steps,
      guidanceScale: plan.guidance,
      scheduler: plan.scheduler,
      seed: plan.seed + i,
    });
    await writePng(imagePath(folder, i), images[0], {});
    seconds.push(timings.total);
    if (seconds.length % 20 === 0) {
      process.stderr.write(`${name}: ${i + 1}/${plan.prompts.length}\n`);
    }
  }
  await pipe.dispose();
  return seconds;
}

/** PSNR in dB of each image of a folder to that of the same number in another; Infinity where equal. */
export async function psnrsTo(
  reference: string,
  folder: string,
  count: number,
): Promise<readonly number[]> {
  const values: number[] = [];
  for (let i = 0; i < count; i++) {
    const [image, expected] = [imagePath(folder, i), imagePath(reference, i)];
    values.push(psnr(await readImage(image), await readImage(expected)));
  }
  return values;
}
