import { join } from 'node:path';
import { writeAtomically } from '../io/atomic-write.ts';
import type { EvaluatedImage } from '../pipelines/evaluation/evaluation.ts';
import type { Sweep } from '../pipelines/evaluation/sweep-request.ts';
import type { SweepRow } from '../pipelines/evaluation/sweep-rows.ts';
import { formatSchedule } from '../quantization/precision-schedule.ts';
import { resolveIsa, resolveThreads } from '../runtime/native/cpu.ts';
import { escapeMarkup } from './chart-axes.ts';
import { htmlPage, settingsTable, tileList } from './html-page.ts';
import { CHART_STYLE, layerSection, paretoSection, stepSection } from './sweep-charts.ts';
import type { SweepContext } from './sweep-json.ts';
import { sweepTable } from './sweep-table.ts';
import { thumbnail } from './thumbnail.ts';

/** Of each setting. */
const SAMPLES = 6;
const SAMPLE_PIXELS = 96;

/**
 * Writes a page without scripts that loads nothing: what is recommended and why, quality against
 * latency, the steps and layers that INT8 hurts, all settings, and the first images of each.
 *
 * @throws BookendError `io` with the page that was there untouched, `not-found` and `invalid-image`
 *   for images that have gone since
 */
export async function writeSweepReport(
  path: string,
  found: Sweep,
  context: SweepContext,
): Promise<void> {
  const page = await sweepPage(found, context);
  await writeAtomically(path, (handle) => handle.writeFile(page));
}

/** The page of `writeSweepReport`. */
export async function sweepPage(found: Sweep, context: SweepContext): Promise<string> {
  const { recommendations, notes } = found;
  const tiles = recommendations.map(({ steps, name }): [string, string] => [
    `recommended at ${steps} steps`,
    name,
  ]);
  const body = [
    tileList(tiles),
    ...recommendations.map(({ why }) => `<p>${escapeMarkup(why)}</p>`),
    ...paretoSection(found),
    ...stepSection(found),
    ...layerSection(found),
    '<h2>All settings</h2>',
    settingsGrid(found),
    ...notes.map((text) => `<p class="note">${escapeMarkup(text)}</p>`),
    ...(await samples(found)),
    '<h2>How it was made</h2>',
    settingsTable(settingsOf(context)),
  ];
  return htmlPage({ title: `Sweep of ${context.reference}`, body, style: STYLE + CHART_STYLE });
}

function settingsGrid(found: Sweep): string {
  const { header, rows, isNumber } = sweepTable(found);
  const cell = (tag: 'th' | 'td') => (text: string, column: number) =>
    `<${tag}${isNumber[column] ? ' class="number"' : ''}>${escapeMarkup(text)}</${tag}>`;
  const line = (cells: readonly string[]) => `<tr>${cells.join('')}</tr>`;
  const body = rows.map((row, i) => {
    const cells = line(row.map(cell('td')));
    return found.rows[i].recommended ? cells.replace('<tr>', '<tr class="recommended">') : cells;
  });
  return `<div class="wide"><table class="grid">${line(header.map(cell('th')))}${body.join('')}</table></div>`;
}

/** The first images, a row of each setting. */
async function samples({ rows }: Sweep): Promise<string[]> {
  const lines: string[] = [];
  for (const row of rows) {
    const images = row.evaluation.images.slice(0, SAMPLES);
    const pictures: string[] = [];
    for (const image of images) {
      pictures.push(await thumbnail(image.path, describe(image, row), SAMPLE_PIXELS));
    }
    const name = escapeMarkup(`${row.steps} steps, ${row.name}`);
    lines.push(`<tr><th>${name}</th><td>${pictures.join('')}</td></tr>`);
  }
  return ['<h2>Images</h2>', `<table class="samples">${lines.join('')}</table>`];
}

function describe({ prompt, seed, psnr }: EvaluatedImage, { schedule }: SweepRow): string {
  const found = psnr !== undefined && Number.isFinite(psnr) ? `, ${psnr.toFixed(1)} dB` : '';
  return `${prompt} (seed ${seed}, ${formatSchedule(schedule)}${found})`;
}

function settingsOf({ reference, options, drawing }: SweepContext): [string, string][] {
  const { prompts, imagesPerPrompt, extractor, reference: compared, rounds, threads } = options;
  const { entries, seed, sampling } = drawing;
  const given: [string, string | undefined][] = [
    ['Model', reference],
    ['Prompts', prompts],
    ['Images of each setting', String(entries.length)],
    ['Images of a prompt', imagesPerPrompt > 1 ? String(imagesPerPrompt) : undefined],
    ['Seeds', `${seed} + number of the image, unless its prompt names one`],
    ['Scheduler', sampling.scheduler ?? "the model's own"],
    ['Guidance', String(sampling.guidanceScale)],
    ['Negative prompt', sampling.negativePrompt],
    [
      'Seconds of an image',
      `the sum over its model evaluations, text encoder and decoder, each timed in turn in ${rounds} rounds or more: median over the rounds and its 95% interval`,
    ],
    ['Quality', 'mean over the images, 95% as of independent ones'],
    ['Features', extractor],
    ['Reference', compared],
    ['Kernels', `${resolveIsa()}, ${resolveThreads(threads)} threads`],
    ['All numbers', join(options.out, 'sweep.json')],
  ];
  return given.filter((row): row is [string, string] => row[1] !== undefined);
}

const STYLE = `
.wide { overflow-x: auto; margin-bottom: 1.5rem; }
table.grid { white-space: nowrap; font-size: .85rem; font-variant-numeric: tabular-nums; }
table.grid td, table.grid th { padding: .2rem .8rem .2rem 0; white-space: nowrap; }
.number { text-align: right; }
tr.recommended td { font-weight: 600; }
.note { color: var(--soft); font-size: .85rem; }
.samples img { border-radius: 3px; margin-right: 3px; vertical-align: top; background: var(--line); }
.samples { margin-bottom: 1.5rem; }
`;
