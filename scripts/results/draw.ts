/**
 * Draws every image of docs/results.md. What is there is kept: killed, it goes on where it was. Several of
 * these may run side by side; a row that another one draws is left to it.
 *
 *   nice node scripts/results/draw.ts --out FOLDER [--only TABLE,...] [--threads 1]
 *
 * FOLDER has the models that docs/results.md says how to make.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { drawImageSet } from '../../src/pipelines/evaluation/image-set.ts';
import { ModelSource } from '../../src/pipelines/evaluation/model-source.ts';
import { unlessLocked } from './row-lock.ts';
import { ALL_TABLES, imagesOf, modelPath, planOf, type Row, type Table } from './rows.ts';

const { values } = parseArgs({
  options: {
    out: { type: 'string' },
    only: { type: 'string' },
    threads: { type: 'string', default: '1' },
  },
});
const { out } = values;
if (!out) {
  console.error('Name the working folder: --out FOLDER.');
  process.exit(2);
}
const only = values.only?.split(',');

async function drawRow(images: string, folder: string, table: Table, row: Row): Promise<void> {
  const threads = Number(values.threads);
  const source = new ModelSource(modelPath(folder, row.model), { ...row.precision, threads });
  const { batchSize } = table;
  const start = performance.now();
  let drawn = 0;
  try {
    const onImage = () => drawn++;
    await drawImageSet(source, images, planOf(table), { batchSize, onImage });
  } finally {
    await source.dispose();
  }
  const seconds = (performance.now() - start) / 1000;
  console.log(`${table.name} ${row.name}: ${drawn} images in ${seconds.toFixed(0)} s`);
}

for (const table of ALL_TABLES) {
  if (only && !only.includes(table.name)) continue;
  for (const row of table.rows) {
    const images = imagesOf(out, table, row);
    await unlessLocked(join(images, '../drawing'), () => drawRow(images, out, table, row));
  }
}
