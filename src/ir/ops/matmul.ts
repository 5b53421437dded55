import { formatShape } from '../../core/shape.ts';
import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { type OpDefinition, reject } from '../op.ts';
import { permute } from './permute.ts';
import { product, requireFloating, requireMinimumRank, requireSameDType } from './rules.ts';

type Inputs = { readonly a: Value; readonly b: Value };
export type MatmulAttributes = { readonly transposeB: boolean };

/** Batched matrix product of [..., M, K] and [..., K, N] ([..., N, K] with transposeB). */
export const matmulOp: OpDefinition<Inputs, MatmulAttributes> = {
  name: 'matmul',
  operands: { a: 'required', b: 'required' },
  infer({ a, b }, { transposeB }) {
    requireFloating('a', a);
    requireSameDType('b', b, a.dtype);
    requireMinimumRank('a', a, 2);
    const [rows, depth] = a.shape.slice(-2);
    const [depthB, columns] = transposeB ? b.shape.slice(-2).reverse() : b.shape.slice(-2);
    const batch = a.shape.slice(0, -2);
    const fits =
      b.shape.length === a.shape.length &&
      depth === depthB &&
      batch.every((extent, i) => extent === b.shape[i]);
    if (!fits) {
      reject(
        `Shapes ${formatShape(a.shape)} and ${formatShape(b.shape)} do not multiply${transposeB ? ' with b transposed' : ''}; batch axes and inner extents must agree.`,
      );
    }
    return [{ dtype: a.dtype, shape: [...batch, rows, columns] }];
  },
  evaluate({ a, b }, { transposeB }, [output]) {
    const [rows, depth] = a.shape.slice(-2);
    const columns = output.shape[output.shape.length - 1];
    const out = new Float64Array(product(output.shape));
    const [strideK, strideN] = transposeB ? [1, depth] : [columns, 1];
    for (let row = 0; row < out.length / columns; row++) {
      const baseB = Math.floor(row / rows) * depth * columns;
      for (let n = 0; n < columns; n++) {
        let total = 0;
        for (let k = 0; k < depth; k++) {
          total += a.data[row * depth + k] * b.data[baseB + k * strideK + n * strideN];
        }
        out[row * columns + n] = total;
      }
    }
    return [out];
  },
  flops: ({ a }, _attributes, [output]) => 2 * product(output.shape) * a.shape[a.shape.length - 1],
  vjp(b, inputs, _outputs, [gradient], { transposeB }) {
    const transposed = (value: Value) => {
      const rank = value.shape.length;
      const order = value.shape.map((_, i) => i);
      return permute(b, value, order.with(rank - 2, rank - 1).with(rank - 1, rank - 2));
    };
    return {
      a: matmul(b, gradient, inputs.b, { transposeB: !transposeB }),
      b: transposeB
        ? matmul(b, transposed(gradient), inputs.a)
        : matmul(b, transposed(inputs.a), gradient),
    };
  },
};

export function matmul(
  b: GraphBuilder,
  first: Value,
  second: Value,
  { transposeB = false }: Partial<MatmulAttributes> = {},
): Value {
  return b.apply('matmul', { a: first, b: second }, { transposeB })[0];
}
