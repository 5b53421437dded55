/**
 * Draws every image of docs/results.md. What is there is kept: killed, it goes on where it was. Several of
 * these may run side by side; a row that another one draws is left to it.
 *
 *   nice node scripts/results/draw.ts --out FOLDER [--only TABLE,...] [--threads 1]
 *
 * FOLDER has the models that docs/results.md says how to make.
 */
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { drawImageSet } from '../../src/pipelines/evaluation/image-set.ts';
import { ModelSource } from '../../src/pipelines/evaluation/model-source.ts';
import { imagesOf, modelPath, planOf, type Row, TABLES, type Table } from './rows.ts';

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

/** Draws a row, unless another process is at it. */
async function drawRow(folder: string, table: Table, row: Row): Promise<void> {
  const images = imagesOf(folder, table, row);
  await mkdir(images, { recursive: true });
  const lock = join(images, '../drawing');
  const isFree = await claim(lock);
  if (!isFree) return;
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
    await rm(lock);
  }
  const seconds = (performance.now() - start) / 1000;
  console.log(`${table.name} ${row.name}: ${drawn} images in ${seconds.toFixed(0)} s`);
}

/** Whether this process may draw there: nobody else does, or whoever did is gone. */
async function claim(lock: string): Promise<boolean> {
  try {
    const file = await open(lock, 'wx');
    await file.writeFile(String(process.pid));
    await file.close();
    return true;
  } catch {
    const owner = await open(lock).then(async (file) => {
      const text = await file.readFile('utf8');
      await file.close();
      return Number(text);
    });
    if (isRunning(owner)) return false;
    await rm(lock, { force: true });
    return claim(lock);
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

for (const table of TABLES) {
  if (only && !only.includes(table.name)) continue;
  for (const row of table.rows) await drawRow(out, table, row);
}
