import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { noFlops, type OpDefinition } from '../op.ts';
import { product, requireFloating, requireRank, requireWhole } from './rules.ts';
import { forEachResampledPixel } from './upsample-nearest.ts';

type Inputs = {
  /** [batch, output height, output width, C] */
  readonly gradient: Value;
};
export type UpsampleGradientAttributes = {
  /** Of the source. */
  readonly height: number;
  readonly width: number;
};

/**
 * The gradient of a nearest-neighbour resampling's source, [batch, height, width, C]: each pixel's
 * is the sum over the pixels that repeat it. It has no gradient rule: training takes first
 * derivatives only.
 */
export const upsampleNearestGradientOp: OpDefinition<Inputs, UpsampleGradientAttributes> = {
  name: 'upsampleNearestGradient',
  operands: { gradient: 'required' },
  infer({ gradient }, { height, width }) {
    requireFloating('gradient', gradient);
    requireRank('gradient', gradient, 4);
    requireWhole('height', height, 1);
    requireWhole('width', width, 1);
    const [batch, , , channels] = gradient.shape;
    return [{ dtype: gradient.dtype, shape: [batch, height, width, channels] }];
  },
  evaluate({ gradient }, _attributes, [{ shape }]) {
    const channels = shape[3];
    const out = new Float64Array(product(shape));
    forEachResampledPixel(shape, gradient.shape, (from, to) => {
      for (let c = 0; c < channels; c++) {
        out[from * channels + c] += gradient.data[to * channels + c];
      }
    });
    return [out];
  },
  flops: noFlops,
  vjp: 'not-differentiable',
};

/** Gradient of a resampled image to that of its source [B, height, width, C]. */
export function upsampleNearestGradient(
  b: GraphBuilder,
  gradient: Value,
  { height, width }: UpsampleGradientAttributes,
): Value {
  return b.apply('upsampleNearestGradient', { gradient }, { height, width })[0];
}
