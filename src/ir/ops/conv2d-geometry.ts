import type { Shape } from '../../core/shape.ts';
import { type NumericArray, reject } from '../op.ts';
import { requireWhole } from './rules.ts';

export type Padding = readonly [top: number, bottom: number, left: number, right: number];

/** Which source pixels a convolution and its gradients connect with which output pixels. */
export type Conv2dGeometry = {
  readonly stride: number;
  /** Zeros around the source. */
  readonly padding: Padding;
};

type Extents = readonly [height: number, width: number];

/** Height and width of the output; rejects a kernel that does not fit the padded source. */
export function outputExtents(
  [sourceHeight, sourceWidth]: Extents,
  [kernelHeight, kernelWidth]: Extents,
  { stride, padding }: Conv2dGeometry,
): [height: number, width: number] {
  requireWhole('stride', stride, 1);
  for (const amount of padding) requireWhole('padding', amount, 0);
  const [top, bottom, left, right] = padding;
  const height = Math.floor((sourceHeight + top + bottom - kernelHeight) / stride) + 1;
  const width = Math.floor((sourceWidth + left + right - kernelWidth) / stride) + 1;
  if (height < 1 || width < 1) {
    reject(
      `A ${kernelHeight}×${kernelWidth} kernel does not fit the padded ${sourceHeight}×${sourceWidth} source; use a larger image or more padding.`,
    );
  }
  return [height, width];
}

/**
 * Calls `visit` for every product of a convolution, channels aside: an output pixel, a tap of the
 * kernel (row-major) and the source pixel it reads. Pixels count through all images of a batch; taps
 * that read padding are left out.
 */
export function forEachTap(
  shapes: { readonly source: Shape; readonly output: Shape; readonly kernel: Extents },
  { stride, padding }: Conv2dGeometry,
  visit: (outputPixel: number, tap: number, sourcePixel: number) => void,
): void {
  const [batch, height, width] = shapes.output;
  const [, sourceHeight, sourceWidth] = shapes.source;
  const [kernelHeight, kernelWidth] = shapes.kernel;
  for (let pixel = 0; pixel < batch * height * width; pixel++) {
    const image = Math.floor(pixel / (height * width));
    const top = (Math.floor(pixel / width) % height) * stride - padding[0];
    const left = (pixel % width) * stride - padding[2];
    for (let tap = 0; tap < kernelHeight * kernelWidth; tap++) {
      const y = top + Math.floor(tap / kernelWidth);
      const x = left + (tap % kernelWidth);
      if (y < 0 || y >= sourceHeight || x < 0 || x >= sourceWidth) continue;
      visit(pixel, tap, (image * sourceHeight + y) * sourceWidth + x);
    }
  }
}

/** Weights [O, I, kernel height, kernel width] as [tap][I][O], which inner loops read in order. */
export function turnWeights({ shape, data }: NumericArray): Float64Array {
  const turned = new Float64Array(data.length);
  forEachWeight(shape, (at, turnedAt) => {
    turned[turnedAt] = data[at];
  });
  return turned;
}

/** The inverse of `turnWeights`. */
export function unturnWeights(turned: Float64Array, shape: Shape): Float64Array {
  const data = new Float64Array(turned.length);
  forEachWeight(shape, (at, turnedAt) => {
    data[at] = turned[turnedAt];
  });
  return data;
}

function forEachWeight(shape: Shape, visit: (at: number, turnedAt: number) => void): void {
  const [outputs, inner, kernelHeight, kernelWidth] = shape;
  const taps = kernelHeight * kernelWidth;
  for (let o = 0; o < outputs; o++) {
    for (let i = 0; i < inner; i++) {
      for (let tap = 0; tap < taps; tap++) {
        visit((o * inner + i) * taps + tap, (tap * inner + i) * outputs + o);
      }
    }
  }
}
