/** Fuzzes the reader of Parquet files: node test/fuzz/parquet.ts --iterations 20000 */

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openParquetImages } from '../../src/training/dataset/parquet-images.ts';
import { type FuzzReport, fuzz, runFromCommandLine } from './fuzz.ts';
import { inFolder } from './in-folder.ts';
import { type FuzzRandom, mutate } from './mutate.ts';

const GOLDEN = join(import.meta.dirname, '../golden/parquet');
/** Between them: structures, nulls, dictionaries, differences, both kinds of pages, four compressions. */
const FILES = [
  'datasets',
  'nulls',
  'pages-2',
  'pages-2-plain',
  'gzip',
  'required',
  'lz4',
  'deltas',
];

/** Mutates the metadata or the pages of a file, or both, and reads every row of it. */
export async function fuzzParquet(iterations: number, seed: number): Promise<FuzzReport> {
  const files = await Promise.all(FILES.map((name) => readFile(join(GOLDEN, `${name}.parquet`))));
  let report: FuzzReport | undefined;
  await inFolder(async (folder) => {
    const path = join(folder, 'mutated.parquet');
    report = await fuzz(iterations, seed, async (random) => {
      await writeFile(path, mutateParts(random.pick(files), random));
      const images = await openParquetImages([path]);
      try {
        for (let i = 0; i < images.count; i++) await images.read(i);
      } finally {
        await images.close();
      }
    });
  });
  return report!;
}

/** The metadata's length is kept true, so that most inputs get past it. */
function mutateParts(file: Buffer, random: FuzzRandom): Buffer {
  if (random.below(10) === 0) return mutate(file, random);
  const start = file.length - 8 - file.readUInt32LE(file.length - 8);
  const inPages = random.below(2) === 0;
  const pages = file.subarray(4, start);
  const footer = file.subarray(start, file.length - 8);
  const metadata = inPages ? footer : mutate(footer, random);
  const end = Buffer.from('\0\0\0\0PAR1', 'latin1');
  end.writeUInt32LE(metadata.length);
  return Buffer.concat([
    file.subarray(0, 4),
    inPages ? mutatePages(pages, random) : pages,
    metadata,
    end,
  ]);
}

/** Changes nothing's place, since all offsets would be wrong behind it. */
function mutatePages(pages: Buffer, random: FuzzRandom): Buffer {
  const out = Buffer.from(pages);
  for (let changes = 1 + random.below(4); changes > 0; changes--) {
    const piece = out.subarray(random.below(out.length));
    const changed = mutate(piece.subarray(0, 1 + random.below(64)), random);
    changed.copy(piece);
  }
  return out;
}

if (import.meta.main) await runFromCommandLine(fuzzParquet);
