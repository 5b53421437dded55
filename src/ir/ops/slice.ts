import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { noFlops, type OpDefinition } from '../op.ts';
import { pad } from './pad.ts';
import { product, requireWhole, resolveAxis } from './rules.ts';

type Inputs = { readonly x: Value };
export type SliceAttributes = {
  readonly axis: number;
  readonly start: number;
  readonly length: number;
};

/** A contiguous range along one axis. */
export const sliceOp: OpDefinition<Inputs, SliceAttributes> = {
  name: 'slice',
  operands: { x: 'required' },
  infer({ x }, { axis, start, length }) {
    requireWhole('axis', axis, 0, x.shape.length - 1);
    requireWhole('start', start, 0, x.shape[axis] - 1);
    requireWhole('length', length, 1, x.shape[axis] - start);
    return [{ dtype: x.dtype, shape: x.shape.with(axis, length) }];
  },
  evaluate({ x }, { axis, start, length }, [output]) {
    const outer = product(x.shape.slice(0, axis));
    const inner = product(x.shape.slice(axis + 1));
    const out = new Float64Array(product(output.shape));
    for (let row = 0; row < outer; row++) {
      const from = (row * x.shape[axis] + start) * inner;
      out.set(x.data.subarray(from, from + length * inner), row * length * inner);
    }
    return [out];
  },
  flops: noFlops,
  vjp: (b, { x }, _outputs, [gradient], { axis, start, length }) => ({
    x: pad(b, gradient, { axis, before: start, after: x.shape[axis] - start - length }),
  }),
};

/** Elements start … start + length - 1 along `axis` (negative: from the end). */
export function slice(b: GraphBuilder, x: Value, attributes: SliceAttributes): Value {
  const { axis, start, length } = attributes;
  return b.apply('slice', { x }, { axis: resolveAxis(axis, x.shape), start, length })[0];
}
