import type { Value } from '../ir/graph.ts';
import type { GraphBuilder } from '../ir/graph-builder.ts';
import { add, reshape, silu } from '../ir/ops/index.ts';
import { divide } from './attention.ts';
import { channelsOf, conv2d, groupNorm, linear } from './layers.ts';

export interface ResnetBlockOptions {
  readonly outChannels: number;
  readonly groups: number;
  readonly eps: number;
  /** SiLU of the time embedding, [batch, width]; absent in autoencoders. */
  readonly timeFeatures?: Value;
  /** The sum with the input is divided by this. */
  readonly outputScaleFactor?: number;
}

/**
 * The residual block of Ho et al. (arXiv 2006.11239): norm, SiLU, convolution, twice, with the time
 * embedding added per channel between them, plus the input (through a 1×1 convolution when the
 * number of channels changes).
 */
export function resnetBlock2D(
  b: GraphBuilder,
  path: string,
  x: Value,
  { outChannels, groups, eps, timeFeatures, outputScaleFactor = 1 }: ResnetBlockOptions,
): Value {
  return b.scope(path, () => {
    let hidden = silu(b, groupNorm(b, 'norm1', x, { groups, eps }));
    hidden = conv2d(b, 'conv1', hidden, outChannels);
    if (timeFeatures) {
      const shift = linear(b, 'time_emb_proj', timeFeatures, outChannels);
      hidden = add(b, hidden, reshape(b, shift, [shift.shape[0], 1, 1, outChannels]));
    }
    hidden = silu(b, groupNorm(b, 'norm2', hidden, { groups, eps }));
    hidden = conv2d(b, 'conv2', hidden, outChannels);
    const needsShortcut = channelsOf(x) !== outChannels;
    const shortcut = needsShortcut ? conv2d(b, 'conv_shortcut', x, outChannels, { kernel: 1 }) : x;
    return divide(b, add(b, hidden, shortcut), outputScaleFactor);
  });
}
