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

const WIDTH = 720;
const HEIGHT = 220;
const PLOT = { left: 62, right: WIDTH - 12, top: 10, bottom: HEIGHT - 26 } as const;
const COLUMNS = 600;
/** From this ratio of the largest to the smallest value on, a linear axis hides the small ones. */
const LOGARITHMIC_FROM = 20;

/**
 * An SVG of lines over a common axis, with classes instead of colours. The y axis is logarithmic
 * where values are positive and differ much. Series of many values are drawn by the extremes in each
 * column, so that the size does not grow with them.
 */
export function lineChart({ title, series, range, limit }: LineChart): string {
  const values = series.flatMap((one) => Array.from(one.values));
  const y = valueAxis(limit === undefined ? values : [...values, limit]);
  const [from, to] = range;
  const x = (at: number) =>
    PLOT.left + ((at - from) / Math.max(to - from, 1)) * (PLOT.right - PLOT.left);
  const parts = [
    ...y.ticks.map((tick) => horizontal('grid', y.at(tick), formatTick(tick))),
    ...stepTicks(from, to).map((tick) => bottomLabel(x(tick), String(tick))),
    ...(limit === undefined ? [] : [horizontal('limit', y.at(limit))]),
    ...series.map((one) => polyline(one, x, y.at)),
  ];
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img"><title>${escapeMarkup(title)}</title>${parts.join('')}</svg>`;
}

/** Text for HTML and SVG, within elements and quoted attributes. */
export function escapeMarkup(text: string): string {
  const entities: Record<string, string> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
  };
  return text.replace(/[&<>"']/g, (character) => entities[character] ?? '&#39;');
}

/** Four digits at most: `0.0123`, `1e-5`, `2500`. */
export function formatTick(value: number): string {
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e-3 && size < 1e5) return String(Number(value.toPrecision(4)));
  return value
    .toExponential(3)
    .replace(/\.?0+e/, 'e')
    .replace('e+', 'e');
}

interface ValueAxis {
  readonly ticks: readonly number[];
  /** The y coordinate of a value. */
  at(value: number): number;
}

function valueAxis(values: readonly number[]): ValueAxis {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
  if (values.length === 0) [low, high] = [0, 1];
  const logarithmic = low > 0 && high / low > LOGARITHMIC_FROM;
  if (!logarithmic) {
    // From 0 where the values come near it, so that their size is seen as well as their change.
    if (low > 0 && low < high / 2) low = 0;
    if (low === high) [low, high] = [low - (Math.abs(low) || 1), high + (Math.abs(high) || 1)];
    const step = evenStep(low, high, 5);
    [low, high] = [Math.floor(low / step) * step, Math.ceil(high / step) * step];
  }
  const scale = logarithmic ? Math.log : (value: number) => value;
  const [bottom, top] = [scale(low), scale(high)];
  const at = (value: number) =>
    PLOT.bottom - ((scale(value) - bottom) / (top - bottom)) * (PLOT.bottom - PLOT.top);
  return { ticks: logarithmic ? decadeTicks(low, high) : evenTicks(low, high, 5), at };
}

/** Powers of ten; 2 and 5 times them as well where there are few. */
function decadeTicks(low: number, high: number): number[] {
  const factors = high / low > 1000 ? [1] : [1, 2, 5];
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power++) {
    for (const factor of factors) ticks.push(Number(`${factor}e${power}`));
  }
  const within = ticks.filter((tick) => tick >= low && tick <= high);
  const stride = Math.ceil(within.length / 8);
  return within.filter((_, i) => i % stride === 0);
}

/** About `count` multiples of 1, 2 or 5 times a power of ten. */
function evenTicks(low: number, high: number, count: number): number[] {
  const step = evenStep(low, high, count);
  // Rounding must not lose an end that is a multiple itself.
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) =>
    Number(((first + i) * step).toPrecision(12)),
  );
}

function evenStep(low: number, high: number, count: number): number {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10);
}

function stepTicks(from: number, to: number): number[] {
  return evenTicks(from, Math.max(to, from + 1), 8).filter(Number.isInteger);
}

function horizontal(style: 'grid' | 'limit', y: number, label?: string): string {
  const line = `<line class="${style}" x1="${PLOT.left}" x2="${PLOT.right}" y1="${y.toFixed(1)}" y2="${y.toFixed(1)}"/>`;
  if (label === undefined) return line;
  return `${line}<text x="${PLOT.left - 8}" y="${(y + 4).toFixed(1)}" text-anchor="end">${label}</text>`;
}

function bottomLabel(x: number, label: string): string {
  return `<text x="${x.toFixed(1)}" y="${HEIGHT - 6}" text-anchor="middle">${label}</text>`;
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
