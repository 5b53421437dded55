import { writeAtomically } from '../io/atomic-write.ts';
import { escapeMarkup, formatTick } from './chart-axes.ts';
import { htmlPage, settingsTable, tileList } from './html-page.ts';
import { lineChart, type Series } from './line-chart.ts';
import { formatDuration } from './progress.ts';
import type { TrainingRecord } from './training-log.ts';

export interface TrainingCurve {
  /** Such as the name of the folder. */
  readonly title: string;
  /** Optimizer steps in all. */
  readonly steps: number;
  /** What was asked for, in words. */
  readonly settings: readonly (readonly [name: string, value: string])[];
  /** The norm that gradients are cut to. */
  readonly clipNorm: number;
  /** The last step with a stored state; 0: none. */
  readonly checkpoint: number;
  readonly records: readonly TrainingRecord[];
}

/**
 * Writes `train.html`, a page without scripts that loads nothing: the losses, the learning rate and
 * the gradient's norm by step, times and settings.
 *
 * @throws BookendError `io`, with the page that was there untouched
 */
export async function writeTrainingCurve(path: string, curve: TrainingCurve): Promise<void> {
  await writeAtomically(path, (handle) => handle.writeFile(trainingCurvePage(curve)));
}

/** The page of `writeTrainingCurve`. */
export function trainingCurvePage(curve: TrainingCurve): string {
  const body = [
    tileList(summary(curve)),
    ...charts(curve),
    '<h2>Settings</h2>',
    settingsTable(curve.settings),
  ];
  return htmlPage({ title: curve.title, body });
}

function summary({ steps, checkpoint, records }: TrainingCurve): [string, string][] {
  const last = records.at(-1);
  if (!last) return [['steps', `0 of ${steps}`]];
  const seconds = records.map((record) => record.seconds);
  const losses = smoothed(records.map(({ loss }) => loss));
  const total = seconds.reduce((sum, value) => sum + value, 0);
  const median = seconds.toSorted((a, b) => a - b)[Math.floor(seconds.length / 2)];
  return [
    ['steps', `${last.step} of ${steps}`],
    ['loss, smoothed', formatTick(losses[losses.length - 1])],
    [
      'at the beginning',
      formatTick(losses[Math.min(smoothingSteps(losses.length), losses.length) - 1]),
    ],
    ['time of the steps', formatDuration(total)],
    ['median of a step', `${formatTick(Number(median.toPrecision(3)))} s`],
    last.step < steps
      ? ['to the end', `about ${formatDuration((steps - last.step) * median)}`]
      : ['state', 'complete'],
    ...(last.step < steps && checkpoint > 0
      ? [['stored state', `step ${checkpoint}`] as [string, string]]
      : []),
  ];
}

function charts(curve: TrainingCurve): string[] {
  const { records, clipNorm } = curve;
  const losses = records.map(({ loss }) => loss);
  const norms = records.map(({ gradientNorm }) => gradientNorm);
  const xs = records.map(({ step }) => step);
  const over = `smoothed over ${smoothingSteps(records.length)} steps`;
  const figures = [
    figure('Loss', curve, [
      { label: 'each step', style: 'faint', xs, values: losses },
      { label: over, style: 'first', xs, values: smoothed(losses) },
    ]),
  ];
  const terms = lossTerms(records);
  if (terms.length > 1) figures.push(figure(`Its terms, ${over}`, curve, terms));
  figures.push(
    figure(
      'Gradient norm',
      curve,
      [
        { label: 'each step', style: 'faint', xs, values: norms },
        { label: over, style: 'first', xs, values: smoothed(norms) },
      ],
      // Far above what is drawn, it would squeeze the rest.
      clipNorm <= 2 * Math.max(...norms.slice(-10_000)) ? clipNorm : undefined,
    ),
    figure('Learning rate', curve, [
      { label: '', style: 'first', xs, values: records.map(({ learningRate }) => learningRate) },
    ]),
  );
  return figures;
}

/** Target and teacher, those of the two that every record has. */
function lossTerms(records: readonly TrainingRecord[]): Series[] {
  const terms = [
    { key: 'targetLoss', label: 'to the data', style: 'first' },
    { key: 'teacherLoss', label: 'to the original model', style: 'second' },
  ] as const;
  return terms.flatMap(({ key, label, style }) => {
    const found = records.filter((record) => record[key] !== undefined);
    if (found.length === 0) return [];
    const values = smoothed(found.map((record) => record[key] ?? 0));
    return [{ label, style, xs: found.map(({ step }) => step), values }];
  });
}

function figure(
  heading: string,
  { records, steps }: TrainingCurve,
  series: readonly Series[],
  limit?: number,
): string {
  const legend = series.filter(({ label }) => label !== '');
  const keys = legend.map(
    ({ style, label }) => `<span class="${style}">${escapeMarkup(label)}</span>`,
  );
  if (limit !== undefined) keys.push(`<span class="limit">cut to ${formatTick(limit)}</span>`);
  const range = [records[0]?.step ?? 1, Math.max(steps, 2)] as const;
  const chart = lineChart({ title: `${heading} by step`, series, range, limit });
  return `<figure><figcaption><h2>${escapeMarkup(heading)}</h2>${keys.join('')}</figcaption>${chart}</figure>`;
}

/** A twentieth of the run, but enough of a short one to see through the noise of timesteps. */
function smoothingSteps(count: number): number {
  return Math.max(1, Math.min(count, 10), Math.round(count / 20));
}

/** Moving average with exponential weights, which sum to 1 from the first value on. */
function smoothed(values: readonly number[]): Float64Array {
  const decay = 1 - 1 / smoothingSteps(values.length);
  const out = new Float64Array(values.length);
  let [sum, weight] = [0, 0];
  for (const [i, value] of values.entries()) {
    sum = decay * sum + value;
    weight = decay * weight + 1;
    out[i] = sum / weight;
  }
  return out;
}
