import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ImageSetPlan } from '../../src/pipelines/evaluation/image-set.ts';
import type { PrecisionOptions } from '../../src/pipelines/request.ts';
import type { SchedulerName } from '../../src/schedulers/index.ts';

/** Models by name: folders in the working folder, but for the embedded one. */
export type ModelName = 'emoji' | 'ptq' | 'qat' | 'pixel' | 'pixel-int8';

/** A row of a table: a model in a precision. */
export interface Row {
  readonly name: string;
  readonly title: string;
  readonly model: ModelName;
  readonly precision: PrecisionOptions;
}

/** Rows that draw the same prompts with the same seeds. */
export interface Table {
  readonly name: string;
  readonly title: string;
  readonly scheduler: SchedulerName;
  readonly steps: number;
  readonly seed: number;
  /** Images of each of the prompts; of a model without prompts, images in all. */
  readonly images: number;
  /** Drawn together. */
  readonly batchSize: number;
  /** FP32 first, which the others are compared with. */
  readonly rows: readonly Row[];
  /** Whether distributions are compared: not where there are too few images. */
  readonly isJudged: boolean;
}

const EMOJI = join(import.meta.dirname, '../../models/emoji');
/** Of the embedded model. */
export const PROMPTS = readFileSync(join(EMOJI, 'prompts.txt'), 'utf8').trimEnd().split('\n');

/** Above those of calibration and training, which begin at 0. */
const SEED = 10_000;
const OTHER_SEED = 20_000;

const fp32 = (model: ModelName): Row => ({
  ...{ name: 'fp32', title: 'FP32', model },
  precision: { precision: 'fp32' },
});

const mixed = (model: ModelName, k: number, label = ''): Row => ({
  name: `${model}-k${k}`,
  title: `mixed, k = ${k}${label}`,
  model,
  precision: { precision: 'mixed', highPrecisionSteps: k },
});

const int8 = (model: ModelName, label = ''): Row => ({
  ...{ name: `${model}-int8`, title: `INT8${label}`, model },
  precision: { precision: 'int8' },
});

const bf16 = (model: ModelName): Row => ({
  ...{ name: 'bf16', title: 'BF16', model },
  precision: { precision: 'bf16' },
});

const KS = [8, 5, 4, 3, 2, 1];

const EMOJI_ROWS: readonly Row[] = [
  fp32('emoji'),
  bf16('ptq'),
  ...KS.map((k) => mixed('ptq', k)),
  int8('ptq', ', PTQ'),
  int8('qat', ', QAT'),
  mixed('qat', 5, ', QAT'),
];

const PIXEL_ROWS: readonly Row[] = [
  fp32('pixel'),
  bf16('pixel-int8'),
  ...KS.map((k) => mixed('pixel-int8', k)),
  int8('pixel-int8'),
];

const emojiTable = (scheduler: SchedulerName, steps: number, images: number): Table => ({
  name: `${scheduler}-${steps}`,
  title: `${scheduler.toUpperCase()}, ${steps} steps`,
  ...{ scheduler, steps, images, seed: SEED, batchSize: images, rows: EMOJI_ROWS, isJudged: true },
});

/** Of a model without prompts, which is drawn and looked at in batches. */
const BATCH = 20;

const pixelTable = (scheduler: SchedulerName, steps: number, images: number): Table => ({
  name: `pixel-${scheduler}-${steps}`,
  title: `pixel space, ${scheduler.toUpperCase()}, ${steps} steps`,
  ...{ scheduler, steps, images, seed: SEED, batchSize: BATCH, rows: PIXEL_ROWS },
  isJudged: images >= 1000,
});

const EMOJI_REFERENCE: Table = {
  ...emojiTable('ddim', 50, 5),
  ...{ name: 'reference', seed: OTHER_SEED, rows: [fp32('emoji')] },
};

const PIXEL_REFERENCE: Table = {
  ...pixelTable('ddim', 50, 1000),
  ...{ name: 'pixel-reference', seed: OTHER_SEED, rows: [fp32('pixel')] },
};

const EMOJI_TABLES: readonly Table[] = [
  emojiTable('ddim', 50, 9),
  emojiTable('pndm', 50, 5),
  emojiTable('ddim', 20, 3),
];

const PIXEL_TABLES: readonly Table[] = [
  pixelTable('ddim', 50, 1000),
  pixelTable('ddim', 20, 200),
  pixelTable('ddpm', 50, 1000),
  pixelTable('ddpm', 20, 200),
];

/** What is measured. */
export const TABLES: readonly Table[] = [...EMOJI_TABLES, ...PIXEL_TABLES];

/** What is drawn. */
export const ALL_TABLES: readonly Table[] = [EMOJI_REFERENCE, PIXEL_REFERENCE, ...TABLES];

export const isPixel = (table: Table) => table.rows[0].model === 'pixel';

/** What the FP32 model draws from other seeds, to compare distributions with. */
export const referenceOf = (table: Table) => (isPixel(table) ? PIXEL_REFERENCE : EMOJI_REFERENCE);

/** What the model was trained on. */
export const picturesOf = (folder: string, table: Table) =>
  join(folder, isPixel(table) ? 'pixels/images' : 'art/images');

/** Images of one prompt, which follow each other; each is its own where there are no prompts. */
export const imagesOfPrompt = (table: Table) => (isPixel(table) ? 1 : table.images);

/** Images that follow each other, between which diversity is measured: where there are prompts, a prompt's. */
export const imagesOfGroup = (table: Table) => (isPixel(table) ? BATCH : table.images);

export function planOf(table: Table): ImageSetPlan {
  const { seed, images, steps, scheduler } = table;
  const entries = isPixel(table)
    ? Array.from({ length: images }, () => ({}))
    : PROMPTS.flatMap((prompt) => Array.from({ length: images }, () => ({ prompt })));
  const sampling = { numInferenceSteps: steps, guidanceScale: 3, scheduler, eta: 0, clipSkip: 0 };
  return { entries, seed, sampling };
}

/** Where the images of a row are. */
export const imagesOf = (folder: string, table: Table, row: Row) =>
  join(folder, table.name, row.name, 'images');

export const modelPath = (folder: string, model: ModelName) =>
  model === 'emoji' ? EMOJI : join(folder, model);
