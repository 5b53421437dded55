/**
 * Times an image of every row: rounds over all rows of a table, so that a machine that slows down
 * slows all of them, and medians. Writes FOLDER/latency.json, where other tables' times are kept. For a
 * machine that does nothing else.
 *
 *   node scripts/results/latency.ts --out FOLDER [--rounds 9] [--only TABLE,...]
 */
import { existsSync, readFileSync } from 'node:fs';
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
  /** Of each table. */
  readonly conditions: Readonly<Record<string, string>>;
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
      rounds: { type: 'string', default: '9' },
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
  const path = join(out, 'latency.json');
  const known: Latencies = existsSync(path)
    ? JSON.parse(readFileSync(path, 'utf8'))
    : { conditions: {}, seconds: {} };
  const seconds = { ...known.seconds };
  const conditions = { ...known.conditions };
  const cpu = cpus()[0]?.model.trim();
  const now = `median of ${rounds} interleaved rounds, one image at a time, ${resolveThreads()} threads, ${cpu}, ${resolveIsa()}`;
  for (const table of TABLES) {
    if (only && !only.includes(table.name)) continue;
    conditions[table.name] = now;
    seconds[table.name] = await timeTable(out, table, rounds);
    console.log(table.name, seconds[table.name]);
  }
  const latencies: Latencies = { conditions, seconds };
  await writeAtomically(path, (file) => file.writeFile(JSON.stringify(latencies)));
}
