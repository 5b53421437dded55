import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { noFlops, type OpDefinition, reject } from '../op.ts';
import { forEachIndex, stridesOf } from './rules.ts';

type Inputs = { readonly x: Value };
export type PermuteAttributes = { readonly order: readonly number[] };

/** Reorders axes: axis i of the output is axis order[i] of x. */
export const permuteOp: OpDefinition<Inputs, PermuteAttributes> = {
  name: 'permute',
  operands: { x: 'required' },
  infer({ x }, { order }) {
    const sorted = [...order].sort((a, b) => a - b);
    if (order.length !== x.shape.length || sorted.some((axis, i) => axis !== i)) {
      reject(`Order ${order.join(', ')} does not name each of the ${x.shape.length} axes once.`);
    }
    return [{ dtype: x.dtype, shape: order.map((axis) => x.shape[axis]) }];
  },
  evaluate({ x }, { order }, [output]) {
    const out = new Float64Array(x.data.length);
    const source = stridesOf(x.shape);
    const strides = order.map((axis) => source[axis]);
    let n = 0;
    forEachIndex(output.shape, (index) => {
      let at = 0;
      for (let i = 0; i < index.length; i++) at += index[i] * strides[i];
      out[n++] = x.data[at];
    });
    return [out];
  },
  flops: noFlops,
  vjp: (b, _inputs, _outputs, [gradient], { order }) => ({
    x: permute(
      b,
      gradient,
      order.map((_, axis) => order.indexOf(axis)),
    ),
  }),
};

export function permute(b: GraphBuilder, x: Value, order: readonly number[]): Value {
  return b.apply('permute', { x }, { order })[0];
}
