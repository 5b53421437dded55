import type { Value } from '../ir/graph.ts';
import type { GraphBuilder } from '../ir/graph-builder.ts';
import { upsampleNearest } from '../ir/ops/index.ts';
import { channelsOf, conv2d } from './layers.ts';

/**
 * Halves height and width by a 3×3 convolution of stride 2. Padding 1 rounds odd sizes up; padding 0
 * means, as in the original DDPM and VAE code, one row below and one column to the right.
 */
export function downsample2D(b: GraphBuilder, path: string, x: Value, padding: 0 | 1): Value {
  return b.scope(path, () =>
    conv2d(b, 'conv', x, channelsOf(x), {
      stride: 2,
      padding: padding === 0 ? [0, 1, 0, 1] : 1,
    }),
  );
}

/** Nearest-neighbour upsampling to `height` × `width`, then a 3×3 convolution. */
export function upsample2D(
  b: GraphBuilder,
  path: string,
  x: Value,
  size: { readonly height: number; readonly width: number },
): Value {
  return b.scope(path, () => conv2d(b, 'conv', upsampleNearest(b, x, size), channelsOf(x)));
}
