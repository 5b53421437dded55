import type { Shape } from '../../core/shape.ts';
import { formatShape, sameShape } from '../../core/shape.ts';
import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { noFlops, type OpDefinition, reject } from '../op.ts';
import { broadcastShape, broadcastStrides, unbroadcast } from './binary.ts';
import { forEachIndex, product } from './rules.ts';

type Inputs = { readonly x: Value };
export type BroadcastAttributes = { readonly shape: Shape };

/** Repeats x along new leading axes and axes of extent 1, as numpy's `broadcast_to`. */
export const broadcastOp: OpDefinition<Inputs, BroadcastAttributes> = {
  name: 'broadcast',
  operands: { x: 'required' },
  infer({ x }, { shape }) {
    if (!sameShape(broadcastShape(x.shape, shape), shape)) {
      reject(`Shape ${formatShape(x.shape)} does not broadcast to ${formatShape(shape)}.`);
    }
    return [{ dtype: x.dtype, shape: [...shape] }];
  },
  evaluate({ x }, { shape }) {
    const out = new Float64Array(product(shape));
    const strides = broadcastStrides(x.shape, shape);
    let n = 0;
    forEachIndex(shape, (index) => {
      out[n++] = x.data[index.reduce((at, i, axis) => at + i * strides[axis], 0)];
    });
    return [out];
  },
  flops: noFlops,
  vjp: (b, { x }, _outputs, [gradient]) => ({ x: unbroadcast(b, gradient, x.shape) }),
};

export function broadcast(b: GraphBuilder, x: Value, shape: Shape): Value {
  return b.apply('broadcast', { x }, { shape })[0];
}
