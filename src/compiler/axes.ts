import { BookendError } from '../core/errors.ts';

/** A loop nest: extents, and for each array the strides that the loops step by. */
export interface Loops {
  readonly extent: readonly number[];
  readonly strides: readonly (readonly number[])[];
}

/**
 * The same loops with as few axes as possible, padded with outer axes of extent 1 to `count`. Two
 * neighbours become one axis when every array steps through them as if they were one.
 *
 * @throws BookendError `unsupported` when more than `count` axes remain
 */
export function collapseAxes({ extent, strides }: Loops, count: number, what: string): Loops {
  const outExtent: number[] = [];
  const outStrides: number[][] = strides.map(() => []);
  for (const [axis, size] of extent.entries()) {
    if (size === 1) continue;
    const last = outExtent.length - 1;
    const joins =
      last >= 0 && strides.every((stride, i) => outStrides[i][last] === stride[axis] * size);
    if (joins) {
      outExtent[last] *= size;
      for (const [i, stride] of strides.entries()) outStrides[i][last] = stride[axis];
    } else {
      outExtent.push(size);
      for (const [i, stride] of strides.entries()) outStrides[i].push(stride[axis]);
    }
  }
  const missing = count - outExtent.length;
  if (missing < 0) {
    throw new BookendError(
      'unsupported',
      `${what} walks ${outExtent.length} separate axes; native kernels take at most ${count}, so reshape its operands.`,
    );
  }
  const padded = (values: readonly number[], fill: number) => [
    ...new Array<number>(missing).fill(fill),
    ...values,
  ];
  return { extent: padded(outExtent, 1), strides: outStrides.map((stride) => padded(stride, 0)) };
}
