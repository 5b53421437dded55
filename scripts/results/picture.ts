/**
 * Puts images of every precision, of DDIM above and of PNDM below, under each other: docs/results.webp.
 *
 *   node scripts/results/picture.ts --out FOLDER
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import sharp, { type OverlayOptions } from 'sharp';
import { setImagePath } from '../../src/pipelines/evaluation/image-set.ts';
import { imagesOf, imagesOfPrompt, TABLES } from './rows.ts';

const TABLE_NAMES = ['ddim-50', 'pndm-50'];
const ROW_NAMES = ['fp32', 'bf16', 'ptq-k8', 'ptq-k5', 'ptq-int8'];
/** The list puts like pictures side by side. */
const PROMPT_STRIDE = 16;
const COLUMNS = 14;
const CELL = 66;
const GAP = 12;

const { values } = parseArgs({ options: { out: { type: 'string' } } });
if (!values.out) {
  console.error('Name the working folder: --out FOLDER.');
  process.exit(2);
}
const pictures: OverlayOptions[] = [];
let top = 0;
for (const table of TABLES.filter(({ name }) => TABLE_NAMES.includes(name))) {
  for (const row of table.rows.filter(({ name }) => ROW_NAMES.includes(name))) {
    for (let column = 0; column < COLUMNS; column++) {
      const image = column * PROMPT_STRIDE * imagesOfPrompt(table);
      const input = setImagePath(imagesOf(values.out, table, row), image);
      pictures.push({ input, left: column * CELL, top });
    }
    top += CELL;
  }
  top += GAP;
}
const page = {
  width: COLUMNS * CELL,
  height: top - GAP,
  channels: 3,
  background: 'white',
} as const;
await sharp({ create: page })
  .composite(pictures)
  .webp({ quality: 90, smartSubsample: true })
  .toFile(join(import.meta.dirname, '../../docs/results.webp'));
