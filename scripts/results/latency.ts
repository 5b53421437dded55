/**
 * Times an image of every row: rounds over all rows of a table, so that a machine that slows down
 * slows all of them, and medians. Writes FOLDER/latency.json. For a machine that does nothing else.
 *
 *   node scripts/results/latency.ts --out FOLDER [--rounds 15] [--only TABLE,...]
 */
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { median } from '../../src/evaluation/benchmark.ts';
import { writeAtomically } from '../../src/io/atomic-write.ts';
import { type LoadedModel, loadModel } from '../../src/pipelines/load.ts';
import { textToImage } from '../../src/pipelines/text-to-image.ts';
import { unconditional } from '../../src/pipelines/unconditional.ts';
import { resolveIsa, resolveThreads } from '../../src/runtime/native/cpu.ts';
import { modelPath, planOf, TABLES, type Table } from './rows.ts';

/** What latency.json holds. */
export interface Latencies {
  readonly conditions: string;
  /** By table and row, of an image. */
  readonly seconds: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

async function drawOne(model: LoadedModel, table: Table, round: number): Promise<number> {
  const { entries, seed, sampling } = planOf(table);
  const { prompt } = entries[(round * table.images) % entries.length];
  const request = { ...sampling, seed };
  const { timings } =
    model.kind === 'unconditional'
      ? await unconditional(model.model, request)
      : await textToImage(model.model, prompt ?? '', request);
  return timings.total;
}

async function timeTable(folder: string, table: Table, rounds: number) {
  const models: LoadedModel[] = [];
  for (const { model, precision } of table.rows) {
    models.push(await loadModel(modelPath(folder, model), precision));
  }
  const seconds = table.rows.map((): number[] => []);
  // The first round compiles and warms up.
  for (let round = -1; round < rounds; round++) {
    for (const [i, model] of models.entries()) {
      const took = await drawOne(model, table, Math.max(0, round));
      if (round >= 0) seconds[i].push(took);
    }
  }
  for (const model of models) await model.dispose();
  return Object.fromEntries(table.rows.map(({ name }, i) => [name, median(seconds[i])]));
}

if (import.meta.main) await main();

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      out: { type: 'string' },
      rounds: { type: 'string', default: '15' },
      only: { type: 'string' },
    },
  });
  const { out } = values;
  if (!out) {
    console.error('Name the working folder: --out FOLDER.');
    process.exit(2);
  }
  const only = values.only?.split(',');
  const rounds = Number(values.rounds);
  const seconds: Record<string, Record<string, number>> = {};
  for (const table of TABLES) {
    if (only && !only.includes(table.name)) continue;
    seconds[table.name] = await timeTable(out, table, rounds);
    console.log(table.name, seconds[table.name]);
  }
  const cpu = cpus()[0]?.model.trim();
  const conditions = `median of ${rounds} interleaved rounds, one image at a time, ${resolveThreads()} threads, ${cpu}, ${resolveIsa()}`;
  const latencies: Latencies = { conditions, seconds };
  await writeAtomically(join(out, 'latency.json'), (file) =>
    file.writeFile(JSON.stringify(latencies)),
  );
}
