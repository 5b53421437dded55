import { meanPsnr, type PairedQuality } from '../pipelines/evaluation/sweep-measures.ts';
import type { Sweep } from '../pipelines/evaluation/sweep-request.ts';
import { frechetOf, type SweepRow } from '../pipelines/evaluation/sweep-rows.ts';
import type { LayerRanking } from '../pipelines/layer-sensitivity.ts';
import type { BlockQuality, StepSensitivity } from '../pipelines/sensitivity.ts';
import { imageError, psnrOfError, stepErrors } from '../quantization/sensitivity.ts';
import { barChart } from './bar-chart.ts';
import { escapeMarkup, formatTick } from './chart-axes.ts';
import { lineChart, type Series } from './line-chart.ts';
import { type ScatterPoint, scatterChart } from './scatter-chart.ts';

/** Colours for numbers of steps; more of them begin again. */
const COLOURS = 4;

/** Layers that are drawn; all are in the table below. */
const LAYERS = 20;

/** Quality against latency: to the most steps, of the precision alone, and to the reference. */
export function paretoSection({ rows }: Sweep): string[] {
  const counts = [...new Set(rows.map(({ steps }) => steps))];
  const pointOf = (row: SweepRow) => ({
    ...{ x: row.seconds.median, xInterval: [row.seconds.low, row.seconds.high] as const },
    ...{ series: counts.indexOf(row.steps), marked: row.recommended },
    label: counts.length > 1 ? `${row.name} · ${row.steps}` : row.name,
  });
  const toMost = rows.map((row) => ({
    ...pointOf(row),
    ...{ y: meanPsnr(row.toMost), yInterval: intervalOf(row.toMost), optimal: row.optimal.most },
  }));
  const told = 'filled and connected: no other setting is as fast and as good';
  const figures = [paretoFigure(`PSNR to FP32 at ${counts[0]} steps, dB`, told, counts, toMost)];
  for (const steps of counts.length > 1 ? counts : []) {
    const alike = rows.filter((row) => row.steps === steps);
    const toSame = alike.map((row) => ({
      ...{ ...pointOf(row), label: row.name },
      ...{ y: meanPsnr(row.toSame), yInterval: intervalOf(row.toSame), optimal: row.optimal.same },
    }));
    const heading = `PSNR to FP32 with as many steps, ${steps}, dB`;
    figures.push(paretoFigure(heading, 'what the precision costs', counts, toSame));
  }
  const judged = rows.flatMap((row) => {
    const distance = frechetOf(row);
    const { frechet = false } = row.optimal;
    return distance === undefined ? [] : [{ ...pointOf(row), y: distance, optimal: frechet }];
  });
  if (judged.length > 0) {
    const heading = 'Fréchet distance to the reference';
    figures.push(paretoFigure(heading, 'the lower the better', counts, judged));
  }
  return figures;
}

function paretoFigure(
  heading: string,
  told: string,
  counts: readonly number[],
  points: readonly ScatterPoint[],
): string {
  const chart = scatterChart({
    title: `${heading} against seconds of an image`,
    ...{ xTitle: 'seconds of an image', points, colours: COLOURS },
  });
  return figure(heading, [...legend(counts), plain(told)], chart);
}

function intervalOf({ psnr }: PairedQuality): [low: number, high: number] | undefined {
  if (!psnr || Number.isNaN(psnr.halfWidth)) return undefined;
  return [psnr.mean - psnr.halfWidth, psnr.mean + psnr.halfWidth];
}

function legend(counts: readonly number[]): string[] {
  const keys = counts.map(
    (steps, i) => `<span class="dot series-${i % COLOURS}">${steps} steps</span>`,
  );
  return [...keys, '<span class="dot ring">recommended</span>'];
}

/** What INT8 costs at each part of a run. */
export function stepSection({ stepSensitivity }: Sweep): string[] {
  if (!stepSensitivity) return [];
  const { blocks, floor, sensitivity, sigmas, int8 } = stepSensitivity;
  const steps = sigmas.length;
  const { prompts, scheduler } = sensitivity.conditions;
  const each = estimates(stepSensitivity);
  const series: Series[] = [
    ...(prompts > 1 ? [-1, 1].map((sign) => stairs(blocks, sign)) : []),
    stairs(blocks, 0),
    {
      label: 'of one step alone, estimated',
      style: 'second',
      xs: each.map((_, i) => i + 1),
      values: each,
    },
  ];
  const keys = [
    '<span class="first">of a block of steps, measured</span>',
    ...(prompts > 1 ? ['<span class="faint">95% over the prompts</span>'] : []),
    '<span class="second">of one step alone, estimated</span>',
    `<span class="limit">without INT8, ${formatTick(floor.mean)} dB: whatever rounds otherwise</span>`,
    plain(`all steps: ${formatTick(int8.mean)} dB`),
  ];
  const heading = 'PSNR with some steps in INT8, by step, dB';
  const chart = lineChart({
    title: heading,
    series,
    range: [0.5, steps + 0.5],
    limit: floor.mean,
  });
  const told = `The lower, the more INT8 hurts there. To the image without INT8, ${scheduler} with ${steps} steps, ${prompts} ${prompts === 1 ? 'prompt' : 'prompts'}.`;
  return [figure(heading, keys, chart), `<p class="note">${escapeMarkup(told)}</p>`];
}

/** dB with each step alone in INT8, from the fitted sensitivity. */
function estimates({ sensitivity, sigmas }: StepSensitivity): number[] {
  return stepErrors(sensitivity, sigmas).map((error, i) => {
    // After the last step there is none left to round otherwise.
    const isLast = i === sigmas.length - 1;
    return psnrOfError(isLast ? error : imageError(sensitivity, [error], sigmas.length));
  });
}

/** As wide as its steps, each block. `sign`: the mean, or an end of its interval. */
function stairs(blocks: readonly BlockQuality[], sign: number): Series {
  const ends = blocks.flatMap(({ first, last, psnr }) => {
    const value = psnr.mean + (sign === 0 ? 0 : sign * psnr.halfWidth);
    return [
      { x: first + 0.5, value },
      { x: last + 1.5, value },
    ];
  });
  return {
    label: '',
    style: sign === 0 ? 'first' : 'faint',
    xs: ends.map(({ x }) => x),
    values: ends.map(({ value }) => value),
  };
}

/** Which layers INT8 hurts. */
export function layerSection({ layerRanking }: Sweep): string[] {
  if (!layerRanking) return [];
  const { layers, kinds, int8, floor, timesteps } = layerRanking;
  const percent = (share: number) => `${(100 * share).toFixed(1)}%`;
  const worst = layers.slice(0, LAYERS).map(({ path, share, sqnr }) => ({
    ...{ label: path, value: share, text: `${percent(share)}, ${sqnr.toFixed(1)} dB` },
  }));
  const ofKinds = kinds.map(({ kind, layers: count, share }) => ({
    ...{ label: kind, value: share, text: `${percent(share)} in ${count}` },
  }));
  const told = `Signal to noise of the model's output with one layer in INT8 and all others in high precision, at the timesteps ${timesteps.join(', ')}; shares of the sum of their squared errors. All layers: ${int8.toFixed(1)} dB; high precision by itself, where it rounds otherwise: ${floor.toFixed(1)} dB, near which layers cannot be told apart.`;
  return [
    figure(
      `The ${worst.length} layers that INT8 hurts most`,
      [],
      barChart('Layers by share of the error', worst),
    ),
    figure('By kind of layer', [], barChart('Kinds of layers by share of the error', ofKinds)),
    `<p class="note">${escapeMarkup(told)}</p>`,
    allLayers(layers),
  ];
}

function allLayers(layers: LayerRanking['layers']): string {
  const rows = layers.map(
    ({ path, sqnr, share }, i) =>
      `<tr><td class="number">${i + 1}</td><td>${escapeMarkup(path)}</td><td class="number">${sqnr.toFixed(1)}</td><td class="number">${(100 * share).toFixed(2)}%</td></tr>`,
  );
  return `<details><summary>All ${layers.length} layers</summary><table class="grid"><tr><th></th><th>layer</th><th class="number">dB</th><th class="number">share</th></tr>${rows.join('')}</table></details>`;
}

function figure(heading: string, keys: readonly string[], chart: string): string {
  return `<figure><figcaption><h2>${escapeMarkup(heading)}</h2>${keys.join('')}</figcaption>${chart}</figure>`;
}

function plain(text: string): string {
  return `<span class="plain">${escapeMarkup(text)}</span>`;
}

/** Beside that of every page. */
export const CHART_STYLE = `
:root { --series-0: #1f5fd0; --series-1: #c2570c; --series-2: #25855a; --series-3: #8a3fc0; }
@media (prefers-color-scheme: dark) {
  :root { --series-0: #78a9ff; --series-1: #f3a164; --series-2: #6fcf97; --series-3: #c99bf0; }
}
figcaption .plain::before { display: none; }
figcaption .dot::before { width: .55rem; height: .55rem; border: 0; border-radius: 50%; }
figcaption .ring::before { border: 1.5px solid var(--text); }
svg circle.ring { fill: none; stroke: var(--text); stroke-width: 1.5; }
svg polyline.front { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 3 3; }
svg rect.first { fill: var(--first); }
${[0, 1, 2, 3]
  .map(
    (i) =>
      `figcaption .series-${i}::before { background: var(--series-${i}); }
svg circle.series-${i} { fill: var(--series-${i}); stroke: var(--series-${i}); stroke-width: 1.5; }
svg line.series-${i} { stroke: var(--series-${i}); opacity: .6; }`,
  )
  .join('\n')}
svg text.name { fill: var(--text); stroke: var(--ground); stroke-width: 3; paint-order: stroke; }
svg circle.hollow { fill: var(--ground); }
details { margin-bottom: 1.5rem; }
`;
