import type { Shape } from '../../core/shape.ts';
import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { type NumericArray, noFlops, type OpDefinition } from '../op.ts';
import { product, requireRank, requireWhole } from './rules.ts';
import { upsampleNearestGradient } from './upsample-nearest-gradient.ts';

type Inputs = { readonly x: Value };
export type UpsampleAttributes = { readonly height: number; readonly width: number };

/**
 * Nearest-neighbour resampling of [B, H, W, C] to a given size: output row y reads source row
 * ⌊y · H / height⌋.
 */
export const upsampleNearestOp: OpDefinition<Inputs, UpsampleAttributes> = {
  name: 'upsampleNearest',
  operands: { x: 'required' },
  infer({ x }, { height, width }) {
    requireRank('x', x, 4);
    requireWhole('height', height, 1);
    requireWhole('width', width, 1);
    return [{ dtype: x.dtype, shape: [x.shape[0], height, width, x.shape[3]] }];
  },
  evaluate: ({ x }, attributes) => [upsampleArray(x, attributes).data],
  flops: noFlops,
  vjp: (b, { x }, _outputs, [gradient]) => ({
    x: upsampleNearestGradient(b, gradient, { height: x.shape[1], width: x.shape[2] }),
  }),
};

/** Nearest-neighbour resampling of an array. */
export function upsampleArray(
  { shape, data }: NumericArray,
  { height, width }: UpsampleAttributes,
): NumericArray {
  const channels = shape[3];
  const resampled = [shape[0], height, width, channels];
  const out = new Float64Array(product(resampled));
  forEachResampledPixel(shape, resampled, (from, to) => {
    out.set(data.subarray(from * channels, (from + 1) * channels), to * channels);
  });
  return { shape: resampled, data: out };
}

/** Calls `visit` for each pixel `to` of the resampled images and the source pixel it repeats. */
export function forEachResampledPixel(
  [, fromHeight, fromWidth]: Shape,
  [batch, height, width]: Shape,
  visit: (from: number, to: number) => void,
): void {
  for (let pixel = 0; pixel < batch * height * width; pixel++) {
    const image = Math.floor(pixel / (height * width));
    const y = Math.floor(((Math.floor(pixel / width) % height) * fromHeight) / height);
    const x = Math.floor(((pixel % width) * fromWidth) / width);
    visit((image * fromHeight + y) * fromWidth + x, pixel);
  }
}

export function upsampleNearest(b: GraphBuilder, x: Value, attributes: UpsampleAttributes): Value {
  const { height, width } = attributes;
  return b.apply('upsampleNearest', { x }, { height, width })[0];
}
