import type { Value } from '../ir/graph.ts';
import type { GraphBuilder } from '../ir/graph-builder.ts';
import * as ops from '../ir/ops/index.ts';

/*
 * Layers: an op together with its parameters. Each takes the builder, its parameter path (a Hugging
 * Face state-dict prefix, relative to the enclosing scope) and its input, and sizes its parameters
 * from the input's shape. Images are [batch, height, width, channels], tokens [batch, tokens,
 * channels].
 */

export interface Conv2dOptions {
  /** Kernel height and width. */
  readonly kernel?: number;
  readonly stride?: number;
  /** All four sides alike, or top, bottom, left, right. By default the size stays (odd kernels). */
  readonly padding?: number | readonly [number, number, number, number];
}

/** 2-D convolution with bias, 3×3 unless told otherwise. */
export function conv2d(
  b: GraphBuilder,
  path: string,
  x: Value,
  outChannels: number,
  { kernel = 3, stride = 1, padding = (kernel - 1) / 2 }: Conv2dOptions = {},
): Value {
  return b.scope(path, () => {
    const weight = b.parameter('weight', [outChannels, channelsOf(x), kernel, kernel]);
    const bias = b.parameter('bias', [outChannels]);
    return ops.conv2d(b, x, weight, bias, { stride, padding });
  });
}

/** x Wᵀ + bias over the last axis. */
export function linear(
  b: GraphBuilder,
  path: string,
  x: Value,
  outFeatures: number,
  { bias = true }: { readonly bias?: boolean } = {},
): Value {
  return b.scope(path, () => {
    const weight = b.parameter('weight', [outFeatures, channelsOf(x)]);
    return ops.linear(b, x, weight, bias ? b.parameter('bias', [outFeatures]) : undefined);
  });
}

export interface GroupNormOptions {
  readonly groups: number;
  readonly eps: number;
}

/** Group normalization (arXiv 1803.08494) with scale and shift per channel. */
export function groupNorm(
  b: GraphBuilder,
  path: string,
  x: Value,
  { groups, eps }: GroupNormOptions,
): Value {
  const channels = channelsOf(x);
  return b.scope(path, () => {
    const gamma = b.parameter('weight', [channels]);
    const beta = b.parameter('bias', [channels]);
    return ops.groupNorm(b, x, gamma, beta, { groups, eps });
  });
}

/** Layer normalization (arXiv 1607.06450) over the last axis. */
export function layerNorm(b: GraphBuilder, path: string, x: Value, eps = 1e-5): Value {
  return b.scope(path, () => {
    const gamma = b.parameter('weight', [channelsOf(x)]);
    const beta = b.parameter('bias', [channelsOf(x)]);
    return ops.layerNorm(b, x, gamma, beta, { eps });
  });
}

/** Rows of a table: s32 ids [...] to [..., width]. */
export function embedding(
  b: GraphBuilder,
  path: string,
  ids: Value,
  { entries, width }: { readonly entries: number; readonly width: number },
): Value {
  return b.scope(path, () => ops.embedding(b, ids, b.parameter('weight', [entries, width])));
}

/** The extent of the last axis. */
export function channelsOf(x: Value): number {
  return x.shape[x.shape.length - 1];
}
