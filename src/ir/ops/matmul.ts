import { formatShape, type Shape } from '../../core/shape.ts';
import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { type OpDefinition, reject } from '../op.ts';
import { product, requireFloating, requireMinimumRank, requireSameDType } from './rules.ts';

type Inputs = { readonly a: Value; readonly b: Value };
export type MatmulAttributes = { readonly transposeA: boolean; readonly transposeB: boolean };

/**
 * Batched matrix product of [..., M, K] ([..., K, M] with transposeA) and [..., K, N] ([..., N, K]
 * with transposeB).
 */
export const matmulOp: OpDefinition<Inputs, MatmulAttributes> = {
  name: 'matmul',
  operands: { a: 'required', b: 'required' },
  infer({ a, b }, { transposeA, transposeB }) {
    requireFloating('a', a);
    requireSameDType('b', b, a.dtype);
    requireMinimumRank('a', a, 2);
    const [rows, depth] = matrixExtents(a.shape, transposeA);
    const [depthB, columns] = matrixExtents(b.shape, transposeB);
    const batch = a.shape.slice(0, -2);
    const fits =
      b.shape.length === a.shape.length &&
      depth === depthB &&
      batch.every((extent, i) => extent === b.shape[i]);
    if (!fits) {
      const transposed = [...(transposeA ? ['a'] : []), ...(transposeB ? ['b'] : [])];
      const how = transposed.length > 0 ? ` with ${transposed.join(' and ')} transposed` : '';
      reject(
        `Shapes ${formatShape(a.shape)} and ${formatShape(b.shape)} do not multiply${how}; batch axes and inner extents must agree.`,
      );
    }
    return [{ dtype: a.dtype, shape: [...batch, rows, columns] }];
  },
  evaluate({ a, b }, { transposeA, transposeB }, [output]) {
    const [rows, depth] = matrixExtents(a.shape, transposeA);
    const columns = output.shape[output.shape.length - 1];
    const out = new Float64Array(product(output.shape));
    const [strideM, strideKA] = transposeA ? [1, rows] : [depth, 1];
    const [strideKB, strideN] = transposeB ? [1, depth] : [columns, 1];
    for (let row = 0; row < out.length / columns; row++) {
      const matrix = Math.floor(row / rows);
      const atA = matrix * rows * depth + (row % rows) * strideM;
      for (let n = 0; n < columns; n++) {
        const atB = matrix * depth * columns + n * strideN;
        let total = 0;
        for (let k = 0; k < depth; k++) {
          total += a.data[atA + k * strideKA] * b.data[atB + k * strideKB];
        }
        out[row * columns + n] = total;
      }
    }
    return [out];
  },
  flops: ({ a }, { transposeA }, [output]) =>
    2 * product(output.shape) * matrixExtents(a.shape, transposeA)[1],
  /** C = A B has the gradients dA = dC Bᵀ and dB = Aᵀ dC; a transposed operand's is transposed. */
  vjp: (b, inputs, _outputs, [gradient], { transposeA, transposeB }) => ({
    a: transposeA
      ? matmul(b, inputs.b, gradient, { transposeA: transposeB, transposeB: true })
      : matmul(b, gradient, inputs.b, { transposeB: !transposeB }),
    b: transposeB
      ? matmul(b, gradient, inputs.a, { transposeA: true, transposeB: transposeA })
      : matmul(b, inputs.a, gradient, { transposeA: !transposeA }),
  }),
};

/** Rows and columns of the last two axes as the product reads them. */
function matrixExtents(shape: Shape, transposed: boolean): [rows: number, columns: number] {
  const [first, second] = shape.slice(-2);
  return transposed ? [second, first] : [first, second];
}

export function matmul(
  b: GraphBuilder,
  first: Value,
  second: Value,
  { transposeA = false, transposeB = false }: Partial<MatmulAttributes> = {},
): Value {
  return b.apply('matmul', { a: first, b: second }, { transposeA, transposeB })[0];
}
