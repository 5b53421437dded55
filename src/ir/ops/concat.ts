import { formatShape } from '../../core/shape.ts';
import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { type NumericArray, noFlops, type OpDefinition, reject } from '../op.ts';
import { product, requireSameDType, requireWhole, resolveAxis } from './rules.ts';
import { slice } from './slice.ts';

type Inputs = { readonly first: Value; readonly second: Value };
export type ConcatAttributes = { readonly axis: number };

/** Two arrays one after the other along an axis; all other extents agree. */
export const concatOp: OpDefinition<Inputs, ConcatAttributes> = {
  name: 'concat',
  operands: { first: 'required', second: 'required' },
  infer({ first, second }, { axis }) {
    requireSameDType('second', second, first.dtype);
    requireWhole('axis', axis, 0, first.shape.length - 1);
    const fits =
      first.shape.length === second.shape.length &&
      first.shape.every((extent, i) => i === axis || extent === second.shape[i]);
    if (!fits) {
      reject(
        `Shapes ${formatShape(first.shape)} and ${formatShape(second.shape)} differ beyond axis ${axis}; all other extents must agree.`,
      );
    }
    const extent = first.shape[axis] + second.shape[axis];
    return [{ dtype: first.dtype, shape: first.shape.with(axis, extent) }];
  },
  evaluate: ({ first, second }, { axis }) => [concatArrays(first, second, axis).data],
  flops: noFlops,
  vjp: (b, { first, second }, _outputs, [gradient], { axis }) => ({
    first: slice(b, gradient, { axis, start: 0, length: first.shape[axis] }),
    second: slice(b, gradient, { axis, start: first.shape[axis], length: second.shape[axis] }),
  }),
};

/** The concatenation of two arrays along `axis`. */
export function concatArrays(
  first: NumericArray,
  second: NumericArray,
  axis: number,
): NumericArray {
  const rows = product(first.shape.slice(0, axis));
  const lengthFirst = first.data.length / rows;
  const lengthSecond = second.data.length / rows;
  const data = new Float64Array(first.data.length + second.data.length);
  for (let row = 0; row < rows; row++) {
    const at = row * (lengthFirst + lengthSecond);
    data.set(first.data.subarray(row * lengthFirst, (row + 1) * lengthFirst), at);
    data.set(second.data.subarray(row * lengthSecond, (row + 1) * lengthSecond), at + lengthFirst);
  }
  return { shape: first.shape.with(axis, first.shape[axis] + second.shape[axis]), data };
}

/** Concatenates along `axis`, by default the last; a negative axis counts from the end. */
export function concat(
  b: GraphBuilder,
  first: Value,
  second: Value,
  { axis = -1 }: { axis?: number } = {},
): Value {
  return b.apply('concat', { first, second }, { axis: resolveAxis(axis, first.shape) })[0];
}
