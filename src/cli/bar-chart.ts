import { chartSvg, escapeMarkup, type Frame } from './chart-axes.ts';

export interface Bar {
  readonly label: string;
  /** From 0 on. */
  readonly value: number;
  /** What is said at its end. */
  readonly text: string;
}

const ROW = 19;
const LETTER = 6.1;

/** An SVG of horizontal bars, one below the other, with classes instead of colours. */
export function barChart(title: string, bars: readonly Bar[]): string {
  const widest = Math.max(...bars.map(({ label }) => label.length));
  const room = Math.max(...bars.map(({ text }) => text.length)) * LETTER + 10;
  const left = Math.min(400, widest * LETTER + 12);
  const [width, height] = [720, bars.length * ROW + 4];
  const frame: Frame = { width, height, left, right: width - room, top: 0, bottom: height };
  const largest = Math.max(...bars.map(({ value }) => value), Number.MIN_VALUE);
  return chartSvg(
    frame,
    title,
    bars.map(({ label, value, text }, i) => {
      const [y, length] = [i * ROW + 3, (value / largest) * (frame.right - left)];
      const base = (y + 11).toFixed(1);
      return `<text x="${(left - 8).toFixed(1)}" y="${base}" text-anchor="end">${escapeMarkup(label)}</text><rect class="first" x="${left.toFixed(1)}" y="${y}" width="${Math.max(length, 0.5).toFixed(1)}" height="${ROW - 5}" rx="2"/><text x="${(left + length + 6).toFixed(1)}" y="${base}">${escapeMarkup(text)}</text>`;
    }),
  );
}
