import type { Shape } from '../../core/shape.ts';
import { elementCount, formatShape } from '../../core/shape.ts';
import { typeOf, type Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { noFlops, type OpDefinition, reject } from '../op.ts';

type Inputs = { readonly x: Value };
export type ReshapeAttributes = { readonly shape: Shape };

/** The same elements, row-major, under other extents; [B, H, W, C] to tokens [B, H·W, C] is one. */
export const reshapeOp: OpDefinition<Inputs, ReshapeAttributes> = {
  name: 'reshape',
  operands: { x: 'required' },
  infer({ x }, { shape }) {
    if (elementCount(shape) !== elementCount(x.shape)) {
      reject(
        `Shape ${formatShape(x.shape)} cannot become ${formatShape(shape)}; the element counts must agree.`,
      );
    }
    return [{ ...typeOf(x), shape: [...shape] }];
  },
  evaluate: ({ x }) => [x.data.slice()],
  flops: noFlops,
  vjp: (b, { x }, _outputs, [gradient]) => ({ x: reshape(b, gradient, x.shape) }),
};

export function reshape(b: GraphBuilder, x: Value, shape: Shape): Value {
  return b.apply('reshape', { x }, { shape })[0];
}
