import { BookendError } from '../core/errors.ts';
import { Pauses } from './pauses.ts';
import type { Pixels } from './psnr.ts';

/** Wang et al.'s window: 11 pixels wide, with a deviation of 1.5. */
const RADIUS = 5;
const WINDOW = gaussian(RADIUS, 1.5);
const [C1, C2] = [(0.01 * 255) ** 2, (0.03 * 255) ** 2];

/**
 * Structural similarity of two images (Wang et al., "Image quality assessment: from error visibility
 * to structural similarity", 2004, equation 13): means, variances and covariance under a Gaussian
 * window wherever it lies wholly inside, averaged over positions and channels. 1 for equal images.
 * The event loop turns between rows.
 *
 * @throws BookendError `invalid-argument` for images of different sizes or less than 11 pixels wide
 *   or high
 */
export async function ssim(a: Pixels, b: Pixels): Promise<number> {
  requireComparable(a, b);
  const { width, height, channels } = a;
  const pauses = new Pauses();
  let total = 0;
  for (let channel = 0; channel < channels; channel++) {
    const moments = new WindowedMoments(width);
    for (let y = 0; y < height; y++) {
      moments.addRow(a, b, y, channel);
      if (y >= 2 * RADIUS) total += moments.sumOfSimilarity();
      if (pauses.isDue) await pauses.take();
    }
  }
  return total / ((width - 2 * RADIUS) * (height - 2 * RADIUS) * channels);
}

function requireComparable(a: Pixels, b: Pixels): void {
  const isAlike = a.width === b.width && a.height === b.height && a.channels === b.channels;
  if (isAlike && Math.min(a.width, a.height) > 2 * RADIUS) return;
  throw new BookendError(
    'invalid-argument',
    `The similarity of images of ${a.width}×${a.height}×${a.channels} and ${b.width}×${b.height}×${b.channels} is not defined; give two of one size, at least ${2 * RADIUS + 1} pixels wide and high.`,
  );
}

function gaussian(radius: number, deviation: number): number[] {
  const offsets = Array.from({ length: 2 * radius + 1 }, (_, i) => i - radius);
  const weights = offsets.map((x) => Math.exp(-(x * x) / (2 * deviation * deviation)));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

/** What is averaged under the window: x, y, x², y² and xy. */
const MOMENTS = 5;

/** Moments of one channel under the window, of the rows that it covers as it moves down. */
class WindowedMoments {
  /** Positions of the window along a row. */
  readonly #columns: number;
  /** One row's moments, pixel by pixel. */
  readonly #pixels: Float64Array[];
  /** Moments under the window along each of the last rows, in a ring. */
  readonly #rows: Float64Array[][] = [];
  #added = 0;

  constructor(width: number) {
    this.#columns = width - 2 * RADIUS;
    this.#pixels = Array.from({ length: MOMENTS }, () => new Float64Array(width));
    this.#rows = WINDOW.map(() => this.#pixels.map(() => new Float64Array(this.#columns)));
  }

  addRow(a: Pixels, b: Pixels, y: number, channel: number): void {
    const { width, channels } = a;
    const [xs, ys, xxs, yys, xys] = this.#pixels;
    for (let i = 0, at = y * width * channels + channel; i < width; i++, at += channels) {
      const [p, q] = [a.data[at], b.data[at]];
      xs[i] = p;
      ys[i] = q;
      xxs[i] = p * p;
      yys[i] = q * q;
      xys[i] = p * q;
    }
    const row = this.#rows[this.#added++ % WINDOW.length];
    for (const [moment, values] of this.#pixels.entries()) {
      const shifted = WINDOW.map((_, tap) => values.subarray(tap, tap + this.#columns));
      weighWindow(shifted, row[moment]);
    }
  }

  /** Over the positions along a row, of which the window's lowest row was added last. */
  sumOfSimilarity(): number {
    const oldest = this.#added % WINDOW.length;
    const rows = WINDOW.map((_, tap) => this.#rows[(oldest + tap) % WINDOW.length]);
    const [xs, ys, xxs, yys, xys] = this.#pixels.map((values, moment) => {
      const means = values.subarray(0, this.#columns);
      weighWindow(
        rows.map((row) => row[moment]),
        means,
      );
      return means;
    });
    let sum = 0;
    for (let i = 0; i < this.#columns; i++) {
      const [mx, my] = [xs[i], ys[i]];
      const variances = xxs[i] - mx * mx + yys[i] - my * my;
      const covariance = xys[i] - mx * my;
      const luminance = (2 * mx * my + C1) / (mx * mx + my * my + C1);
      sum += luminance * ((2 * covariance + C2) / (variances + C2));
    }
    return sum;
  }
}

/** out = the sum of the window's eleven sources, each times its weight. */
function weighWindow(sources: readonly Float64Array[], out: Float64Array): void {
  const [w0, w1, w2, w3, w4, w5] = WINDOW;
  const [a, b, c, d, e, f, g, h, i, j, k] = sources;
  for (let at = 0; at < out.length; at++) {
    // The window is symmetric.
    out[at] =
      w5 * f[at] +
      w4 * (e[at] + g[at]) +
      w3 * (d[at] + h[at]) +
      w2 * (c[at] + i[at]) +
      w1 * (b[at] + j[at]) +
      w0 * (a[at] + k[at]);
  }
}
