import {
  bottomLabel,
  chartSvg,
  escapeMarkup,
  type Frame,
  formatTick,
  horizontalLine,
  valueScale,
} from './chart-axes.ts';

export type Interval = readonly [low: number, high: number];

/** A point of a chart; its intervals are drawn as lines. */
export interface ScatterPoint {
  readonly x: number;
  readonly xInterval?: Interval;
  /** May be infinite: then it lies above the axis. */
  readonly y: number;
  readonly yInterval?: Interval;
  readonly label: string;
  /** Which of the page's colours. */
  readonly series: number;
  /** On the front, which a line connects; others are hollow. */
  readonly optimal: boolean;
  /** Drawn with a ring. */
  readonly marked: boolean;
}

export interface ScatterChart {
  /** Says what is shown to those who do not see it. */
  readonly title: string;
  readonly xTitle: string;
  readonly points: readonly ScatterPoint[];
  /** Colours that the page's style has. */
  readonly colours: number;
}

const FRAME: Frame = { width: 720, height: 380, left: 62, right: 708, top: 12, bottom: 334 };
/** Of points that have no finite value. */
const BEYOND = 26;

/** An SVG of points with their names, the optimal ones connected; classes instead of colours. */
export function scatterChart({ title, xTitle, points, colours }: ScatterChart): string {
  const { left, right, top, bottom } = FRAME;
  const finite = points.filter(({ y }) => Number.isFinite(y));
  const isBeyond = finite.length < points.length;
  const upper = isBeyond ? top + BEYOND : top;
  const xs = valueScale(points.flatMap(({ x, xInterval = [] }) => [x, ...xInterval]));
  const ys = valueScale(finite.flatMap(({ y, yInterval = [] }) => [y, ...yInterval]));
  const at: Axes = {
    x: (value) => left + xs.share(value) * (right - left),
    y: (value) =>
      Number.isFinite(value) ? bottom - ys.share(value) * (bottom - upper) : top + BEYOND / 3,
  };
  const front = points.filter(({ optimal }) => optimal).sort((a, b) => a.x - b.x);
  const line = front.map(({ x, y }) => `${at.x(x).toFixed(1)},${at.y(y).toFixed(1)}`);
  return chartSvg(FRAME, title, [
    ...ys.ticks.map((tick) => horizontalLine(FRAME, 'grid', at.y(tick), formatTick(tick))),
    ...(isBeyond ? [horizontalLine(FRAME, 'limit', at.y(Number.POSITIVE_INFINITY), 'equal')] : []),
    ...xs.ticks.map((tick) => bottomLabel(FRAME, at.x(tick), formatTick(tick))),
    `<text x="${right}" y="${bottom + 38}" text-anchor="end">${escapeMarkup(xTitle)}</text>`,
    `<polyline class="front" points="${line.join(' ')}"/>`,
    ...points.map((point) => marker(point, at, colours)),
    ...labels(points, at),
  ]);
}

interface Axes {
  readonly x: (value: number) => number;
  readonly y: (value: number) => number;
}

function marker(point: ScatterPoint, at: Axes, colours: number): string {
  const { x, xInterval, y, yInterval, label, optimal, marked } = point;
  const [cx, cy] = [at.x(x), at.y(y)].map((value) => value.toFixed(1));
  const colour = `series-${point.series % colours}`;
  const bars: string[] = [];
  if (yInterval) {
    const [low, high] = yInterval.map((value) => at.y(value).toFixed(1));
    bars.push(`<line class="${colour}" x1="${cx}" x2="${cx}" y1="${low}" y2="${high}"/>`);
  }
  if (xInterval) {
    const [low, high] = xInterval.map((value) => at.x(value).toFixed(1));
    bars.push(`<line class="${colour}" x1="${low}" x2="${high}" y1="${cy}" y2="${cy}"/>`);
  }
  const ring = marked ? `<circle class="ring" cx="${cx}" cy="${cy}" r="8.5"/>` : '';
  const dot = `<circle class="${colour}${optimal ? '' : ' hollow'}" cx="${cx}" cy="${cy}" r="4.5"/>`;
  return `<g>${bars.join('')}${ring}${dot}<title>${escapeMarkup(label)}</title></g>`;
}

interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

const LETTER = 6.1;
const LINE = 12;

/** Names beside their points where there is room, the optimal ones first; the others have a tooltip. */
function labels(points: readonly ScatterPoint[], at: Axes): string[] {
  const taken: Box[] = points.map(({ x, y }) => ({
    ...{ x: at.x(x) - 6, y: at.y(y) - 6 },
    ...{ width: 12, height: 12 },
  }));
  const texts: string[] = [];
  const order = [...points].sort((a, b) => Number(b.optimal) - Number(a.optimal));
  for (const point of order) {
    const width = point.label.length * LETTER;
    const place = placesAround(at.x(point.x), at.y(point.y), width).find(
      (box) => isInside(box) && !taken.some((other) => overlap(box, other)),
    );
    if (!place) continue;
    taken.push(place);
    const [x, y] = [place.x, place.y + LINE - 3].map((value) => value.toFixed(1));
    texts.push(`<text class="name" x="${x}" y="${y}">${escapeMarkup(point.label)}</text>`);
  }
  return texts;
}

/** Where a name of this width may go: right, left, below, above, and at the corners. */
function placesAround(x: number, y: number, width: number): Box[] {
  const middle = { y: y - LINE / 2, height: LINE, width };
  const [right, left, center] = [x + 10, x - 10 - width, x - width / 2];
  const [above, below] = [y - LINE - 8, y + 8];
  return [
    { ...middle, x: right },
    { ...middle, x: left },
    { ...middle, x: center, y: below },
    { ...middle, x: center, y: above },
    { ...middle, x: right, y: below },
    { ...middle, x: right, y: above },
    { ...middle, x: left, y: below },
    { ...middle, x: left, y: above },
  ];
}

function isInside({ x, y, width, height }: Box): boolean {
  const { left, right, top, bottom } = FRAME;
  return x >= left && x + width <= right && y >= top - 6 && y + height <= bottom;
}

function overlap(a: Box, b: Box): boolean {
  const apart =
    a.x + a.width < b.x || b.x + b.width < a.x || a.y + a.height < b.y || b.y + b.height < a.y;
  return !apart;
}
