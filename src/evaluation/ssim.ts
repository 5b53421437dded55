import { BookendError } from '../core/errors.ts';
import type { Pixels } from './psnr.ts';

/** Wang et al.'s window: 11 pixels wide, with a deviation of 1.5. */
const RADIUS = 5;
const WINDOW = gaussian(RADIUS, 1.5);
const [C1, C2] = [(0.01 * 255) ** 2, (0.03 * 255) ** 2];

/**
 * Structural similarity of two images (Wang et al., "Image quality assessment: from error visibility
 * to structural similarity", 2004, equation 13): means, variances and covariance under a Gaussian
 * window wherever it lies wholly inside, averaged over positions and channels. 1 for equal images.
 *
 * @throws BookendError `invalid-argument` for images of different sizes or less than 11 pixels wide
 *   or high
 */
export function ssim(a: Pixels, b: Pixels): number {
  requireComparable(a, b);
  const { width, height, channels } = a;
  let total = 0;
  for (let channel = 0; channel < channels; channel++) {
    const x = plane(a, channel);
    const y = plane(b, channel);
    const windowed = (values: Float64Array) => blur(values, width, height);
    const [meanX, meanY] = [windowed(x), windowed(y)];
    const squaresX = windowed(x.map((value) => value * value));
    const squaresY = windowed(y.map((value) => value * value));
    const products = windowed(x.map((value, i) => value * y[i]));
    let sum = 0;
    for (let i = 0; i < meanX.length; i++) {
      const [mx, my] = [meanX[i], meanY[i]];
      const variances = squaresX[i] - mx * mx + squaresY[i] - my * my;
      const covariance = products[i] - mx * my;
      const luminance = (2 * mx * my + C1) / (mx * mx + my * my + C1);
      sum += luminance * ((2 * covariance + C2) / (variances + C2));
    }
    total += sum / meanX.length;
  }
  return total / channels;
}

function requireComparable(a: Pixels, b: Pixels): void {
  const isAlike = a.width === b.width && a.height === b.height && a.channels === b.channels;
  if (isAlike && Math.min(a.width, a.height) > 2 * RADIUS) return;
  throw new BookendError(
    'invalid-argument',
    `The similarity of images of ${a.width}×${a.height}×${a.channels} and ${b.width}×${b.height}×${b.channels} is not defined; give two of one size, at least ${2 * RADIUS + 1} pixels wide and high.`,
  );
}

function plane({ data, channels }: Pixels, channel: number): Float64Array {
  const count = data.length / channels;
  return Float64Array.from({ length: count }, (_, i) => data[i * channels + channel]);
}

function gaussian(radius: number, deviation: number): number[] {
  const offsets = Array.from({ length: 2 * radius + 1 }, (_, i) => i - radius);
  const weights = offsets.map((x) => Math.exp(-(x * x) / (2 * deviation * deviation)));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

/** Windowed means, along rows, then along columns; what the window reaches beyond is left out. */
function blur(values: Float64Array, width: number, height: number): Float64Array {
  const columns = width - 2 * RADIUS;
  const rows = new Float64Array(columns * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < columns; x++) {
      let sum = 0;
      for (let i = 0; i < WINDOW.length; i++) sum += WINDOW[i] * values[y * width + x + i];
      rows[y * columns + x] = sum;
    }
  }
  const out = new Float64Array(columns * (height - 2 * RADIUS));
  for (let at = 0; at < out.length; at++) {
    let sum = 0;
    for (let i = 0; i < WINDOW.length; i++) sum += WINDOW[i] * rows[at + i * columns];
    out[at] = sum;
  }
  return out;
}
