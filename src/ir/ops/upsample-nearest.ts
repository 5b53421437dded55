import { BookendError } from '../../core/errors.ts';
import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { type NumericArray, noFlops, type OpDefinition } from '../op.ts';
import { reshape } from './reshape.ts';
import { requireRank, requireWhole } from './rules.ts';
import { sum } from './sum.ts';

type Inputs = { readonly x: Value };
export type UpsampleAttributes = { readonly height: number; readonly width: number };

/**
 * Nearest-neighbour resampling of [B, H, W, C] to a given size: output row y reads source row
 * ⌊y · H / height⌋. The gradient rule covers whole factors.
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
  vjp(b, { x }, _outputs, [gradient], { height, width }) {
    const [batch, fromHeight, fromWidth, channels] = x.shape;
    if (height % fromHeight !== 0 || width % fromWidth !== 0) {
      throw new BookendError(
        'unsupported',
        `Upsampling ${fromHeight}×${fromWidth} to ${height}×${width} has no gradient rule; use a whole factor.`,
      );
    }
    const [down, right] = [height / fromHeight, width / fromWidth];
    const blocks = reshape(b, gradient, [batch, fromHeight, down, fromWidth, right, channels]);
    return { x: sum(b, blocks, { axes: [2, 4] }) };
  },
};

/** Nearest-neighbour resampling of an array. */
export function upsampleArray(
  { shape, data }: NumericArray,
  { height, width }: UpsampleAttributes,
): NumericArray {
  const [batch, fromHeight, fromWidth, channels] = shape;
  const out = new Float64Array(batch * height * width * channels);
  for (let pixel = 0; pixel < batch * height * width; pixel++) {
    const image = Math.floor(pixel / (height * width));
    const y = Math.floor(((Math.floor(pixel / width) % height) * fromHeight) / height);
    const x = Math.floor(((pixel % width) * fromWidth) / width);
    const from = ((image * fromHeight + y) * fromWidth + x) * channels;
    out.set(data.subarray(from, from + channels), pixel * channels);
  }
  return { shape: [batch, height, width, channels], data: out };
}

export function upsampleNearest(b: GraphBuilder, x: Value, attributes: UpsampleAttributes): Value {
  const { height, width } = attributes;
  return b.apply('upsampleNearest', { x }, { height, width })[0];
}
