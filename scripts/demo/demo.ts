/**
 * `npm run demo`: draws a few emoji with the embedded model twice, in BF16 and in mixed precision
 * (INT8 but for the first and last 5 steps), and puts each pair side by side in demo.png, with the
 * times and the PSNR between the two. Prompts may be given as arguments instead.
 */
import { availableParallelism, cpus } from 'node:os';
import { psnr } from '../../src/evaluation/psnr.ts';
import {
  type GenerationResult,
  type Image,
  quantizePostTraining,
  resizeImage,
  StableDiffusionPipeline,
  writePng,
} from '../../src/index.ts';
import { drawLabel, LABEL_HEIGHT } from './labels.ts';

const PROMPTS = [
  'red apple',
  'fox',
  'rocket',
  'sunflower',
  'pizza',
  'soccer ball',
  'octopus',
  'red heart',
];
const SCALE = 3;
const STEPS = 50;
const HIGH_PRECISION_STEPS = 5;
const MODEL = 'models/emoji';
const QUANTIZED = 'out/emoji-int8';

interface Pair {
  readonly prompt: string;
  readonly high: GenerationResult;
  readonly mixed: GenerationResult;
}

const prompts = process.argv.length > 2 ? process.argv.slice(2) : PROMPTS;
const mixedPrecision = { precision: 'mixed', highPrecisionSteps: HIGH_PRECISION_STEPS } as const;
await quantizeOnce();
const pipe = await StableDiffusionPipeline.fromPretrained(QUANTIZED);
const { precision } = pipe.model;
await draw(prompts[0], {}); // compiles what the first image would otherwise wait for
await draw(prompts[0], mixedPrecision);
const pairs: Pair[] = [];
for (const prompt of prompts) {
  const high = await draw(prompt, {});
  const mixed = await draw(prompt, mixedPrecision);
  pairs.push({ prompt, high, mixed });
  console.log(`drew "${prompt}": ${describe({ prompt, high, mixed })}`);
}
await pipe.dispose();
await writePng('demo.png', await contactSheet(pairs), { Comment: prompts.join(', ') });
const mean = (of: (pair: Pair) => number) =>
  pairs.reduce((sum, pair) => sum + of(pair), 0) / pairs.length;
console.log(
  `demo.png: ${pairs.length} pairs of images of ${STEPS} steps; ${precision} ${mean(({ high }) => high.timings.total).toFixed(2)} s, mixed ${mean(({ mixed }) => mixed.timings.total).toFixed(2)} s an image, PSNR ${mean(psnrOf).toFixed(1)} dB; ${availableParallelism()} threads of ${cpus()[0]?.model.trim()}`,
);

/** The INT8 weights of the embedded model are made here, not shipped: it takes seconds. */
async function quantizeOnce(): Promise<void> {
  try {
    const found = await StableDiffusionPipeline.fromPretrained(QUANTIZED, mixedPrecision);
    await found.dispose();
  } catch {
    console.log(`quantizing ${MODEL} into ${QUANTIZED}`);
    const { layers, seconds } = await quantizePostTraining(MODEL, QUANTIZED, {
      guidanceScale: 3,
      sensitivityPrompts: 0,
    });
    console.log(`quantized ${layers.length} layers in ${seconds.toFixed(1)} s`);
  }
}

function draw(prompt: string, options: object): Promise<GenerationResult> {
  return pipe(prompt, { numInferenceSteps: STEPS, guidanceScale: 3, seed: 7, ...options });
}

function psnrOf({ high, mixed }: Pair): number {
  return psnr(high.images[0], mixed.images[0]);
}

function describe(pair: Pair): string {
  const seconds = ({ timings }: GenerationResult) => `${timings.total.toFixed(2)} s`;
  return `${precision} ${seconds(pair.high)}, mixed ${seconds(pair.mixed)}, PSNR ${psnrOf(pair).toFixed(1)} dB`;
}

/** Two pairs in a row, each image with its label below. */
async function contactSheet(pairs: readonly Pair[]): Promise<Image> {
  const { width, height } = pairs[0].high.images[0];
  const cell = { width: width * SCALE, height: height * SCALE + LABEL_HEIGHT };
  const columns = Math.min(2, pairs.length);
  const sheetWidth = 2 * columns * cell.width;
  const sheetHeight = Math.ceil(pairs.length / columns) * cell.height;
  const data = new Uint8Array(sheetWidth * sheetHeight * 3).fill(255);
  const sheet: Image = { width: sheetWidth, height: sheetHeight, channels: 3, data };
  for (const [i, pair] of pairs.entries()) {
    const top = Math.floor(i / columns) * cell.height;
    const left = (i % columns) * 2 * cell.width;
    const labels = [
      `${precision} ${pair.high.timings.total.toFixed(2)} s`,
      `mixed ${pair.mixed.timings.total.toFixed(2)} s  ${psnrOf(pair).toFixed(1)} dB`,
    ];
    for (const [side, { images }] of [pair.high, pair.mixed].entries()) {
      const x = left + side * cell.width;
      paste(sheet, await resizeImage(images[0], cell.width, height * SCALE), x, top);
      drawLabel(sheet, labels[side], x, top + height * SCALE);
    }
  }
  return sheet;
}

function paste(onto: Image, tile: Image, left: number, top: number): void {
  for (let y = 0; y < tile.height; y++) {
    const row = tile.data.subarray(y * tile.width * 3, (y + 1) * tile.width * 3);
    onto.data.set(row, ((top + y) * onto.width + left) * 3);
  }
}
