import { basename } from 'node:path';
import { writeAtomically } from '../io/atomic-write.ts';
import {
  type EvaluatedImage,
  type Evaluation,
  finiteValues,
  MEASURES,
  type Measure,
  type MeasureName,
  worstImages,
} from '../pipelines/evaluation/evaluation.ts';
import { pairedPath } from '../pipelines/evaluation/measure-images.ts';
import { escapeMarkup, formatTick } from './chart-axes.ts';
import { htmlPage, settingsTable, tileList } from './html-page.ts';
import { lineChart } from './line-chart.ts';
import { THUMBNAIL_PIXELS, thumbnail } from './thumbnail.ts';

export interface EvaluationReport {
  readonly title: string;
  /** Everything that was asked for, in words. */
  readonly settings: readonly (readonly [name: string, value: string])[];
  /** With units, as `metricRows` gives them. */
  readonly metrics: readonly (readonly [name: string, value: string])[];
  readonly evaluation: Evaluation;
  /** The folder of the pairs. */
  readonly paired?: string;
}

/** A page stays small enough to be mailed. */
const GRID_IMAGES = 60;
const WORST_IMAGES = 12;

/**
 * Writes a page without scripts that loads nothing: the metrics, their distribution over the images,
 * the worst images by each of them beside their pairs, and the first images of the set.
 *
 * @throws BookendError `io` with the page that was there untouched, `not-found` and `invalid-image`
 *   for images that have gone since
 */
export async function writeEvaluationReport(path: string, report: EvaluationReport): Promise<void> {
  const page = await evaluationPage(report);
  await writeAtomically(path, (handle) => handle.writeFile(page));
}

/** The page of `writeEvaluationReport`. */
export async function evaluationPage(report: EvaluationReport): Promise<string> {
  const { title, settings, metrics, evaluation, paired } = report;
  const { images, summaries } = evaluation;
  const measured = (Object.keys(MEASURES) as MeasureName[]).filter((name) => summaries[name]);
  const worst: string[] = [];
  for (const name of measured) worst.push(...(await worstSection(images, name, paired)));
  const first = images.slice(0, GRID_IMAGES);
  const heading =
    first.length < images.length ? `The first ${first.length} of ${images.length}` : 'All images';
  const body = [
    tileList(metrics),
    ...measured.map((name) => distribution(images, name)),
    ...worst,
    `<h2>${heading}</h2>`,
    await grid(first, (image) => image.prompt),
    '<h2>Settings</h2>',
    settingsTable(settings),
  ];
  return htmlPage({ title, body, style: STYLE });
}

/** The values in ascending order: how many images are below a value is read off the x axis. */
function distribution(images: readonly EvaluatedImage[], name: MeasureName): string {
  const measure: Measure = MEASURES[name];
  const values = finiteValues(images, name).sort((a, b) => a - b);
  const xs = values.map((_, i) => i + 1);
  const unit = measure.unit === '' ? '' : `, ${measure.unit}`;
  const heading = escapeMarkup(`${capitalized(measure.name)}${unit}`);
  const chart = lineChart({
    title: `${measure.name} of the images in ascending order`,
    series: [{ label: '', style: 'first', xs, values }],
    range: [1, Math.max(2, values.length)],
  });
  return `<figure><figcaption><h2>${heading}</h2><span class="plain">images in ascending order</span></figcaption>${chart}</figure>`;
}

async function worstSection(
  images: readonly EvaluatedImage[],
  name: MeasureName,
  paired: string | undefined,
): Promise<string[]> {
  const measure: Measure = MEASURES[name];
  if (!measure.worst) return [];
  const worst = worstImages(images, name, WORST_IMAGES);
  const caption = (image: EvaluatedImage) =>
    `${formatTick(Number(measure.of(image)!.toPrecision(4)))} ${measure.unit} ${image.prompt}`;
  const pairs = measure.ofPairs ? paired : undefined;
  const beside = pairs === undefined ? '' : ', each beside its pair';
  return [
    `<h2>The ${measure.worst} ${escapeMarkup(measure.name)}${beside}</h2>`,
    await grid(worst, caption, pairs),
  ];
}

async function grid(
  images: readonly EvaluatedImage[],
  caption: (image: EvaluatedImage) => string,
  paired?: string,
): Promise<string> {
  const items: string[] = [];
  for (const image of images) {
    const paths = [image.path, ...(paired === undefined ? [] : [pairedPath(image, paired)])];
    const pictures: string[] = [];
    for (const path of paths) pictures.push(await thumbnail(path, describeImage(image, path)));
    const text = escapeMarkup(shortened(caption(image)));
    items.push(`<figure>${pictures.join('')}<figcaption>${text}</figcaption></figure>`);
  }
  return `<div class="grid${paired === undefined ? '' : ' pairs'}">${items.join('')}</div>`;
}

function describeImage({ prompt, seed }: EvaluatedImage, path: string): string {
  return `${basename(path)}, seed ${seed}: ${prompt}`;
}

function shortened(text: string): string {
  return text.length > 90 ? `${text.slice(0, 89).toWellFormed()}…` : text;
}

function capitalized(text: string): string {
  return text[0].toUpperCase() + text.slice(1);
}

const STYLE = `
figcaption .plain::before { display: none; }
.grid { display: flex; flex-wrap: wrap; gap: .75rem; margin: .6rem 0 1.75rem; }
.grid figure { margin: 0; width: ${THUMBNAIL_PIXELS}px; }
.grid.pairs figure { width: ${2 * THUMBNAIL_PIXELS + 4}px; }
.grid.pairs img + img { margin-left: 4px; }
.grid figcaption { display: block; color: var(--soft); font-size: .75rem; line-height: 1.3;
  overflow-wrap: anywhere; }
.grid img { border-radius: 3px; vertical-align: top; background: var(--line); }
`;
