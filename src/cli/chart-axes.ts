/** Where a chart is drawn, in units of its SVG: `left` to `right` and `top` to `bottom` within. */
export interface Frame {
  readonly width: number;
  readonly height: number;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

export interface Scale {
  readonly ticks: readonly number[];
  /** 0 at the low end to 1 at the high one. */
  share(value: number): number;
}

/** From this ratio of the largest to the smallest value on, a linear axis hides the small ones. */
const LOGARITHMIC_FROM = 20;

/** A scale with all of `values` on it; logarithmic where they are positive and differ much. */
export function valueScale(values: readonly number[]): Scale {
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
  return {
    ticks: logarithmic ? decadeTicks(low, high) : evenTicks(low, high, 5),
    share: (value) => (scale(value) - bottom) / (top - bottom),
  };
}

/** An SVG as wide as the page; `title` says what is shown to those who do not see it. */
export function chartSvg(
  { width, height }: Frame,
  title: string,
  parts: readonly string[],
): string {
  return `<svg viewBox="0 0 ${width} ${height}" role="img"><title>${escapeMarkup(title)}</title>${parts.join('')}</svg>`;
}

/** A line across at `y`, with a label to its left. */
export function horizontalLine(
  { left, right }: Frame,
  style: 'grid' | 'limit',
  y: number,
  label?: string,
): string {
  const line = `<line class="${style}" x1="${left}" x2="${right}" y1="${y.toFixed(1)}" y2="${y.toFixed(1)}"/>`;
  if (label === undefined) return line;
  return `${line}<text x="${left - 8}" y="${(y + 4).toFixed(1)}" text-anchor="end">${label}</text>`;
}

/** A label below the chart at `x`. */
export function bottomLabel({ bottom }: Frame, x: number, label: string): string {
  return `<text x="${x.toFixed(1)}" y="${bottom + 20}" text-anchor="middle">${label}</text>`;
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
export function evenTicks(low: number, high: number, count: number): number[] {
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
