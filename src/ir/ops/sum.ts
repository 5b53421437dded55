import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { noFlops, type OpDefinition, reject } from '../op.ts';
import { broadcast } from './broadcast.ts';
import { reshape } from './reshape.ts';
import { forEachIndex, product, requireFloating, resolveAxis, stridesOf } from './rules.ts';

type Inputs = { readonly x: Value };
export type SumAttributes = {
  /** Axes summed over, each once. */
  readonly axes: readonly number[];
  /** Whether the summed axes stay, with extent 1. */
  readonly keep: boolean;
};

/** The sum over some axes. */
export const sumOp: OpDefinition<Inputs, SumAttributes> = {
  name: 'sum',
  operands: { x: 'required' },
  infer({ x }, { axes, keep }) {
    requireFloating('x', x);
    const valid = axes.every(
      (axis) => Number.isInteger(axis) && axis >= 0 && axis < x.shape.length,
    );
    if (!valid || new Set(axes).size !== axes.length) {
      reject(`Axes are ${axes.join(', ')}; they must be distinct and below ${x.shape.length}.`);
    }
    const kept = keptShape(x.shape, axes);
    return [{ dtype: x.dtype, shape: keep ? kept : kept.filter((_, i) => !axes.includes(i)) }];
  },
  evaluate({ x }, { axes }) {
    const kept = keptShape(x.shape, axes);
    const out = new Float64Array(product(kept));
    const strides = stridesOf(kept).map((stride, i) => (axes.includes(i) ? 0 : stride));
    let n = 0;
    forEachIndex(x.shape, (index) => {
      let at = 0;
      for (let i = 0; i < index.length; i++) at += index[i] * strides[i];
      out[at] += x.data[n++];
    });
    return [out];
  },
  flops: noFlops,
  vjp: (b, { x }, _outputs, [gradient], { axes }) => ({
    x: broadcast(b, reshape(b, gradient, keptShape(x.shape, axes)), x.shape),
  }),
};

function keptShape(shape: readonly number[], axes: readonly number[]): number[] {
  return shape.map((extent, i) => (axes.includes(i) ? 1 : extent));
}

/** Sums over `axes` (negative ones count from the end); without `keep` they vanish. */
export function sum(
  b: GraphBuilder,
  x: Value,
  { axes, keep = false }: { axes: readonly number[]; keep?: boolean },
): Value {
  const resolved = axes.map((axis) => resolveAxis(axis, x.shape));
  return b.apply('sum', { x }, { axes: resolved, keep })[0];
}
