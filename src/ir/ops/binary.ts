import type { Shape } from '../../core/shape.ts';
import { formatShape, sameShape } from '../../core/shape.ts';
import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { type NoAttributes, noFlops, type OpDefinition, reject, type VjpRule } from '../op.ts';
import { reshape } from './reshape.ts';
import { forEachIndex, product, requireFloating, requireSameDType, stridesOf } from './rules.ts';
import { sum } from './sum.ts';

export type BinaryInputs = { readonly a: Value; readonly b: Value };
export type BinaryOp = OpDefinition<BinaryInputs, NoAttributes>;

/** An elementwise op of two operands of one dtype, with numpy's broadcasting. */
export function defineBinary(
  name: string,
  compute: (a: number, b: number) => number,
  vjp: VjpRule<BinaryInputs, NoAttributes>,
): BinaryOp {
  return {
    name,
    operands: { a: 'required', b: 'required' },
    infer({ a, b }) {
      requireFloating('a', a);
      requireSameDType('b', b, a.dtype);
      return [{ dtype: a.dtype, shape: broadcastShape(a.shape, b.shape) }];
    },
    evaluate({ a, b }, _attributes, [output]) {
      const out = new Float64Array(product(output.shape));
      const strideA = broadcastStrides(a.shape, output.shape);
      const strideB = broadcastStrides(b.shape, output.shape);
      let n = 0;
      forEachIndex(output.shape, (index) => {
        let atA = 0;
        let atB = 0;
        for (let i = 0; i < index.length; i++) {
          atA += index[i] * strideA[i];
          atB += index[i] * strideB[i];
        }
        out[n++] = compute(a.data[atA], b.data[atB]);
      });
      return [out];
    },
    flops: noFlops,
    vjp,
  };
}

/** The common shape: aligned at the last axis, extents equal or one of them 1. */
export function broadcastShape(a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const extentA = a[i - rank + a.length] ?? 1;
    const extentB = b[i - rank + b.length] ?? 1;
    if (extentA !== extentB && extentA !== 1 && extentB !== 1) {
      reject(
        `Shapes ${formatShape(a)} and ${formatShape(b)} do not broadcast; aligned at the last axis, extents must be equal or 1.`,
      );
    }
    return Math.max(extentA, extentB);
  });
}

/** Strides that read an array of shape `from` as if it had the shape `to`: 0 where it repeats. */
export function broadcastStrides(from: Shape, to: Shape): number[] {
  const strides = stridesOf(from);
  const missing = to.length - from.length;
  return to.map((_, i) => (i < missing || from[i - missing] === 1 ? 0 : strides[i - missing]));
}

/** The gradient of an operand that was broadcast: summed over the axes along which it repeats. */
export function unbroadcast(b: GraphBuilder, gradient: Value, shape: Shape): Value {
  if (sameShape(gradient.shape, shape)) return gradient;
  const missing = gradient.shape.length - shape.length;
  const axes = gradient.shape.flatMap((extent, i) =>
    i < missing || (shape[i - missing] === 1 && extent !== 1) ? [i] : [],
  );
  return reshape(b, axes.length > 0 ? sum(b, gradient, { axes, keep: true }) : gradient, shape);
}
