import type { Shape } from '../core/shape.ts';

/**
 * Where the channels of a value are: last, as everywhere in Bookend, or on axis 1, as ONNX's image
 * ops want them. A value of rank 2 or less is the same both ways.
 */
export type Layout = 'last' | 'first';

/** The order of axes that brings the channels to where `layout` has them. */
export function transposition(rank: number, layout: Layout): number[] {
  const middle = Array.from({ length: rank - 2 }, (_, i) => i);
  return layout === 'first'
    ? [0, rank - 1, ...middle.map((i) => i + 1)]
    : [0, ...middle.map((i) => i + 2), 1];
}

/** `shape`, which has its channels last, as `layout` has them. */
export function inLayout(shape: Shape, layout: Layout): Shape {
  if (layout === 'last' || shape.length <= 2) return shape;
  return transposition(shape.length, layout).map((axis) => shape[axis]);
}

/** Where axis `axis` of a channels-last value of rank `rank` is in `layout`. */
export function axisIn(axis: number, rank: number, layout: Layout): number {
  if (layout === 'last' || rank <= 2) return axis;
  return transposition(rank, layout).indexOf(axis);
}
