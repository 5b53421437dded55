import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { noFlops, type OpDefinition, reject } from '../op.ts';
import { type Conv2dGeometry, forEachTap, outputExtents, type Padding } from './conv2d-geometry.ts';
import { product, requireFloating, requireRank, requireWhole } from './rules.ts';

type Inputs = {
  /** [batch, height, width, channels] */
  readonly x: Value;
};

export type Pool2dAttributes = Conv2dGeometry & {
  /** What becomes of a window's pixels; those of the padding count for neither. */
  readonly kind: 'max' | 'average';
  readonly kernelHeight: number;
  readonly kernelWidth: number;
};

/**
 * The largest or the mean value of each channel in windows that slide over an image, channels last.
 * PyTorch's max_pool2d, and avg_pool2d with count_include_pad=False.
 */
export const pool2dOp: OpDefinition<Inputs, Pool2dAttributes> = {
  name: 'pool2d',
  operands: { x: 'required' },
  infer({ x }, attributes) {
    requireFloating('x', x);
    requireRank('x', x, 4);
    const { kind, kernelHeight, kernelWidth, padding } = attributes;
    if (kind !== 'max' && kind !== 'average') {
      reject(`Pooling ${kind} is unknown; use max or average.`);
    }
    requireWhole('kernelHeight', kernelHeight, 1);
    requireWhole('kernelWidth', kernelWidth, 1);
    const [top, bottom, left, right] = padding;
    if (Math.max(top, bottom) >= kernelHeight || Math.max(left, right) >= kernelWidth) {
      reject(
        `Padding ${padding} leaves ${kernelHeight}×${kernelWidth} windows without a pixel; it must be narrower than the kernel.`,
      );
    }
    const [batch, height, width, channels] = x.shape;
    const extents = outputExtents([height, width], [kernelHeight, kernelWidth], attributes);
    return [{ dtype: x.dtype, shape: [batch, ...extents, channels] }];
  },
  evaluate({ x }, attributes, [{ shape }]) {
    const { kind, kernelHeight, kernelWidth } = attributes;
    const channels = shape[3];
    const isMax = kind === 'max';
    const out = new Float64Array(product(shape)).fill(isMax ? Number.NEGATIVE_INFINITY : 0);
    const counts = new Float64Array(out.length / channels);
    const shapes = { source: x.shape, output: shape, kernel: [kernelHeight, kernelWidth] } as const;
    forEachTap(shapes, attributes, (pixel, _tap, sourcePixel) => {
      counts[pixel]++;
      for (let c = 0; c < channels; c++) {
        const at = pixel * channels + c;
        const value = x.data[sourcePixel * channels + c];
        out[at] = isMax ? Math.max(out[at], value) : out[at] + value;
      }
    });
    return [isMax ? out : out.map((sum, at) => sum / counts[Math.floor(at / channels)])];
  },
  flops: noFlops,
  // Only networks that describe images pool, and they are used as they were published.
  vjp: 'not-differentiable',
};

interface PoolOptions {
  readonly kernel: number;
  readonly stride?: number;
  /** On all four sides; less than the kernel. */
  readonly padding?: number;
}

function pool2d(
  b: GraphBuilder,
  x: Value,
  kind: Pool2dAttributes['kind'],
  { kernel, stride = 1, padding = 0 }: PoolOptions,
): Value {
  const sides: Padding = [padding, padding, padding, padding];
  const size = { kernelHeight: kernel, kernelWidth: kernel };
  return b.apply('pool2d', { x }, { kind, ...size, stride, padding: sides })[0];
}

/** The largest value in each square window; pixels of the padding are never the largest. */
export function maxPool2d(b: GraphBuilder, x: Value, options: PoolOptions): Value {
  return pool2d(b, x, 'max', options);
}

/** The mean over each square window, without the pixels of the padding. */
export function averagePool2d(b: GraphBuilder, x: Value, options: PoolOptions): Value {
  return pool2d(b, x, 'average', options);
}
