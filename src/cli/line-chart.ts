import {
  bottomLabel,
  chartSvg,
  evenTicks,
  type Frame,
  formatTick,
  horizontalLine,
  valueScale,
} from './chart-axes.ts';

/** A line of a chart; `values[i]` belongs to `xs[i]`, in ascending order. */
export interface Series {
  /** Shown above the chart. */
  readonly label: string;
  /** `faint` for what noise covers; the others are colours that the page's style gives. */
  readonly style: 'faint' | 'first' | 'second';
  readonly xs: ArrayLike<number>;
  readonly values: ArrayLike<number>;
}

export interface LineChart {
  /** Says what is shown to those who do not see it. */
  readonly title: string;
  readonly series: readonly Series[];
  /** The x axis, whatever part of it has values yet. */
  readonly range: readonly [from: number, to: number];
  /** A dashed line across. */
  readonly limit?: number;
}

const FRAME: Frame = { width: 720, height: 220, left: 62, right: 708, top: 10, bottom: 194 };
const COLUMNS = 600;

/**
 * An SVG of lines over a common axis, with classes instead of colours. The y axis is logarithmic
 * where values are positive and differ much. Series of many values are drawn by the extremes in each
 * column, so that the size does not grow with them.
 */
export function lineChart({ title, series, range, limit }: LineChart): string {
  const values = series.flatMap((one) => Array.from(one.values));
  const { ticks, share } = valueScale(limit === undefined ? values : [...values, limit]);
  const [from, to] = range;
  const { left, right, top, bottom } = FRAME;
  const x = (at: number) => left + ((at - from) / Math.max(to - from, 1)) * (right - left);
  const y = (value: number) => bottom - share(value) * (bottom - top);
  return chartSvg(FRAME, title, [
    ...ticks.map((tick) => horizontalLine(FRAME, 'grid', y(tick), formatTick(tick))),
    ...stepTicks(from, to).map((tick) => bottomLabel(FRAME, x(tick), String(tick))),
    ...(limit === undefined ? [] : [horizontalLine(FRAME, 'limit', y(limit))]),
    ...series.map((one) => polyline(one, x, y)),
  ]);
}

function stepTicks(from: number, to: number): number[] {
  return evenTicks(from, Math.max(to, from + 1), 8).filter(Number.isInteger);
}

function polyline(
  { style, xs, values }: Series,
  x: (at: number) => number,
  y: (value: number) => number,
): string {
  const points = thinned(values).map((i) => `${x(xs[i]).toFixed(1)},${y(values[i]).toFixed(1)}`);
  if (points.length === 0) return '';
  if (points.length === 1) {
    const [cx, cy] = points[0].split(',');
    return `<circle class="${style}" cx="${cx}" cy="${cy}" r="2.5"/>`;
  }
  return `<polyline class="${style}" points="${points.join(' ')}"/>`;
}

/** Which values to draw: all, or the smallest and the largest of each column in their order. */
function thinned(values: ArrayLike<number>): number[] {
  const { length } = values;
  if (length <= 2 * COLUMNS) return Array.from({ length }, (_, i) => i);
  const chosen = new Set<number>();
  for (let column = 0; column < COLUMNS; column++) {
    const begin = Math.floor((column * length) / COLUMNS);
    const end = Math.floor(((column + 1) * length) / COLUMNS);
    let [lowest, highest] = [begin, begin];
    for (let i = begin; i < end; i++) {
      if (values[i] < values[lowest]) lowest = i;
      if (values[i] > values[highest]) highest = i;
    }
    chosen.add(Math.min(lowest, highest)).add(Math.max(lowest, highest));
  }
  // The last value is what the text says, too.
  return [...chosen.add(length - 1)];
}
