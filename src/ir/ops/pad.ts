import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { noFlops, type OpDefinition } from '../op.ts';
import { product, requireFloating, requireWhole, resolveAxis } from './rules.ts';
import { slice } from './slice.ts';

type Inputs = { readonly x: Value };
export type PadAttributes = {
  readonly axis: number;
  readonly before: number;
  readonly after: number;
};

/** Zeros before and after x along one axis. */
export const padOp: OpDefinition<Inputs, PadAttributes> = {
  name: 'pad',
  operands: { x: 'required' },
  infer({ x }, { axis, before, after }) {
    requireFloating('x', x);
    requireWhole('axis', axis, 0, x.shape.length - 1);
    requireWhole('before', before, 0);
    requireWhole('after', after, 0);
    return [{ dtype: x.dtype, shape: x.shape.with(axis, before + x.shape[axis] + after) }];
  },
  evaluate({ x }, { axis, before }, [output]) {
    const outer = product(x.shape.slice(0, axis));
    const inner = product(x.shape.slice(axis + 1));
    const out = new Float64Array(product(output.shape));
    const length = x.shape[axis] * inner;
    for (let row = 0; row < outer; row++) {
      const to = (row * output.shape[axis] + before) * inner;
      out.set(x.data.subarray(row * length, (row + 1) * length), to);
    }
    return [out];
  },
  flops: noFlops,
  vjp: (b, { x }, _outputs, [gradient], { axis, before }) => ({
    x: slice(b, gradient, { axis, start: before, length: x.shape[axis] }),
  }),
};

/** Pads with zeros along `axis` (negative: from the end). */
export function pad(b: GraphBuilder, x: Value, attributes: PadAttributes): Value {
  const { axis, before, after } = attributes;
  return b.apply('pad', { x }, { axis: resolveAxis(axis, x.shape), before, after })[0];
}
