/**
 * Prints the tables of docs/results.md from what measure.ts and latency.ts have found, as Markdown.
 *
 *   node scripts/results/tables.ts --out FOLDER
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Summary, summarize } from '../../src/evaluation/statistics.ts';
import type { Colours } from './colours.ts';
import type { Latencies } from './latency.ts';
import type { Distances, Measures } from './measures.ts';
import { imagesOf, isPixel, planOf, type Row, TABLES, type Table } from './rows.ts';
import { differenceOverPrompts, overPrompts } from './statistics.ts';

const { values } = parseArgs({ options: { out: { type: 'string' } } });
if (!values.out) {
  console.error('Name the working folder: --out FOLDER.');
  process.exit(2);
}
const out = values.out;

interface Measured {
  readonly row: Row;
  readonly measures: Measures;
  /** Undefined where it was not timed. */
  readonly seconds?: number;
}

function readJson<T>(path: string): T | undefined {
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as T) : undefined;
}

const latencies = readJson<Latencies>(join(out, 'latency.json'));

/** Rows that are complete. */
function measured(table: Table): Measured[] {
  return table.rows.flatMap((row) => {
    const measures = readJson<Measures>(join(imagesOf(out, table, row), '../measures.json'));
    const seconds = latencies?.seconds[table.name]?.[row.name];
    return measures ? [{ row, measures, seconds }] : [];
  });
}

type Column = readonly [title: string, of: (one: Measured, rows: readonly Measured[]) => string];

function print(title: string, rows: readonly Measured[], columns: readonly Column[]): void {
  if (rows.length === 0) return;
  console.log(`\n### ${title}\n`);
  const line = (cells: readonly string[]) => console.log(`| ${cells.join(' | ')} |`);
  line(['', ...columns.map(([name]) => name)]);
  line(['---', ...columns.map(() => '--:')]);
  for (const one of rows) line([one.row.title, ...columns.map(([, of]) => of(one, rows))]);
}

const plusMinus = ({ mean, halfWidth }: Summary, digits: number) =>
  `${signed(mean, digits)} ± ${halfWidth.toFixed(digits)}`;
const unsigned = ({ mean, halfWidth }: Summary, digits: number) =>
  `${mean.toFixed(digits)} ± ${halfWidth.toFixed(digits)}`;
/** With a true minus and no negative zero. */
function signed(value: number, digits: number): string {
  const text = Math.abs(value).toFixed(digits);
  if (Number(text) === 0) return text;
  return value < 0 ? `−${text}` : `+${text}`;
}

const isFull = ({ measures }: Measured) => measures.psnr.length === 0;

const psnr: Column = [
  'PSNR, dB',
  (one) =>
    isFull(one) ? '' : unsigned(overPrompts(one.measures.psnr, one.measures.imagesPerPrompt), 2),
];
const ssim: Column = [
  'SSIM',
  (one) =>
    isFull(one) ? '' : overPrompts(one.measures.ssim, one.measures.imagesPerPrompt).mean.toFixed(5),
];
const latency: Column = [
  'seconds',
  ({ seconds }) => (seconds === undefined ? '' : seconds.toFixed(3)),
];
const speed: Column = [
  'of FP32',
  ({ seconds }, [full]) =>
    seconds === undefined || full.seconds === undefined ? '' : (seconds / full.seconds).toFixed(2),
];
const frechet = (name: string, of: (measures: Measures) => Distances | undefined): Column => [
  name,
  ({ measures }) => {
    const found = of(measures);
    return found ? (1000 * found.frechet).toFixed(2) : '';
  },
];
const kernel = (name: string, of: (measures: Measures) => Distances | undefined): Column => [
  name,
  ({ measures }) => {
    const found = of(measures);
    if (!found) return '';
    // Adding 0 makes a negative zero positive.
    const micro = (value: number) =>
      (Math.round(1e7 * value) / 10 + 0).toFixed(1).replace('-', '−');
    // Subsets of as many images as there are do not deviate.
    const deviates = found.kernelDeviation > 1e-12;
    const distance = micro(found.kernel);
    return deviates ? `${distance} ± ${micro(found.kernelDeviation)}` : distance;
  },
];
const recall = (name: string, of: (measures: Measures) => Distances | undefined): Column => [
  name,
  ({ measures }) => {
    const found = of(measures);
    return found ? `${found.precision.toFixed(3)} / ${found.recall.toFixed(3)}` : '';
  },
];
const diversity: Column = [
  'diversity',
  ({ measures }) => (measures.judged ? unsigned(summarize(measures.judged.diversity), 3) : ''),
];

const ofArt = ({ judged }: Measures) => judged?.art;
const ofOwn = ({ judged }: Measures) => judged?.own;

const describe = (table: Table) => `${table.title}, ${planOf(table).entries.length} images a row`;

const diversityAboveFull: Column = [
  'diversity',
  (one, [full]) =>
    one === full ? '' : plusMinus(summarize(diversityAbove(one.measures, full.measures)), 4),
];

function diversityAbove({ judged }: Measures, full: Measures): number[] {
  return judged!.diversity.map((d, i) => d - full.judged!.diversity[i]);
}

const judgedColumns: readonly Column[] = [
  ...[frechet('FD to FP32 × 1000', ofOwn), kernel('KD to FP32 × 10⁶', ofOwn)],
  ...[frechet('FD to art × 1000', ofArt), kernel('KD to art × 10⁶', ofArt)],
  ...[recall('precision / recall to FP32', ofOwn), diversity],
];

/** The difference of something to FP32's image of the same prompt and seed. */
function toFull(of: (measures: Measures) => readonly number[], digits: number): Column[1] {
  return (one, [full]) => {
    if (one === full) return '';
    const { imagesPerPrompt } = one.measures;
    const difference = differenceOverPrompts(of(one.measures), of(full.measures), imagesPerPrompt);
    return plusMinus(difference, digits);
  };
}

const colour = (name: keyof Colours): Column => [
  name,
  toFull(({ colours }) => colours.map((one) => one[name]), 3),
];

const ownPictureNearest: Column = [
  'own picture nearest, %',
  toFull(({ judged }) => judged!.nearest!.map((one) => 100 * one), 2),
];

for (const table of TABLES) {
  print(describe(table), measured(table), [
    ...[psnr, ssim, latency, speed],
    ...(table.isJudged ? judgedColumns : []),
  ]);
  print(`${describe(table)}: differences to FP32`, measured(table), [
    ...(table.isJudged ? [diversityAboveFull] : []),
    ...(table.isJudged && !isPixel(table) ? [ownPictureNearest] : []),
    ...(['red', 'green', 'blue', 'contrast', 'saturation'] as const).map(colour),
  ]);
}

for (const [table, conditions] of Object.entries(latencies?.conditions ?? {})) {
  console.log(`\nTimes of ${table}: ${conditions}`);
}
