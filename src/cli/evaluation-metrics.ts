import {
  type Evaluation,
  MEASURES,
  type Measure,
  type MeasureName,
} from '../pipelines/evaluation/evaluation.ts';
import type { SetMetrics } from '../pipelines/evaluation/set-metrics.ts';
import { formatTable } from './output.ts';

/** The tables that a terminal gets. */
export function formatMetrics({ summaries, set }: Evaluation): string {
  const rows = Object.entries(summaries).map(([name, summary]) => {
    const { name: title, unit }: Measure = MEASURES[name as MeasureName];
    const { mean, halfWidth, median, lowest, highest } = summary;
    const numbers = [mean, halfWidth, median, lowest, highest].map(formatNumber);
    return [unit === '' ? title : `${title}, ${unit}`, ...numbers];
  });
  const header = ['of each image', 'mean', '± 95%', 'median', 'lowest', 'highest'];
  const tables = [formatTable(header, rows, [false, true, true, true, true, true])];
  const ofSet = set ? setRows(set) : [];
  if (ofSet.length > 0) {
    tables.push(formatTable(['of the set', 'value', ''], ofSet, [false, true, false]));
  }
  return tables.join('\n\n');
}

/** Name and value of each metric, for a page. */
export function metricTiles({ images, summaries, equal, set }: Evaluation): [string, string][] {
  const tiles: [string, string][] = [['images', String(images.length)]];
  if (set) tiles.push(...setRows(set).map(tileOf));
  for (const [name, { mean, halfWidth, median }] of Object.entries(summaries)) {
    const { name: title, unit }: Measure = MEASURES[name as MeasureName];
    // Of times, the first one has the compilation in it.
    const row =
      name === 'seconds'
        ? [title, formatNumber(median), 'median']
        : [title, formatNumber(mean), halfWidth > 0 ? `± ${formatNumber(halfWidth)}` : ''];
    const [label, value] = tileOf(row);
    tiles.push([label, `${value} ${unit}`.trimEnd()]);
  }
  if (equal > 0) tiles.push(['equal to their pair', String(equal)]);
  return tiles;
}

function tileOf([name, value, spread]: readonly string[]): [string, string] {
  return [name, `${value} ${spread}`.trimEnd()];
}

/** Whatever the extractor is called like, only pytorch-fid's gives what papers call FID. */
const STANDARD = /^inception-v3-fid(-|$)/;

/** Name, value and spread. */
function setRows(set: SetMetrics): string[][] {
  const { extractor, images, inceptionScore, diversity, reference } = set;
  const rows: string[][] = [];
  const isStandard = STANDARD.test(extractor);
  if (reference) {
    const { frechet, kernel, precisionRecall } = reference;
    const [frechetName, kernelName] = isStandard
      ? ['FID', 'KID']
      : ['Fréchet distance', 'kernel distance'];
    rows.push([frechetName, formatNumber(frechet.distance), '']);
    if (kernel) {
      // Subsets of all images are alike.
      const isSpread = kernel.subsetSize < Math.min(images, reference.images ?? images);
      const spread = isSpread ? `± ${formatNumber(1000 * kernel.deviation)}` : '';
      rows.push([`${kernelName} × 1000`, formatNumber(1000 * kernel.distance), spread]);
    }
    if (precisionRecall) {
      const { precision, recall } = precisionRecall;
      rows.push(['precision', formatNumber(precision), ''], ['recall', formatNumber(recall), '']);
    }
  }
  if (inceptionScore) {
    const { score, deviation } = inceptionScore;
    rows.push(['Inception Score', formatNumber(score), `± ${formatNumber(deviation)}`]);
  }
  if (diversity) {
    const { mean, standardError } = diversity;
    rows.push(['diversity', formatNumber(mean), `± ${formatNumber(1.96 * standardError)}`]);
  }
  return rows;
}

/** Two digits after the point, four where there is nothing before it; nothing for NaN. */
function formatNumber(value: number): string {
  if (Number.isNaN(value)) return '';
  return Math.abs(value) < 1 ? value.toFixed(4) : value.toFixed(2);
}
