import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { noFlops, type OpDefinition, reject } from '../op.ts';
import { requireKnownId } from './embedding.ts';
import { requireFloating, requireMinimumRank, requireShape, requireWhole } from './rules.ts';

type Inputs = {
  /** s32, any shape */
  readonly ids: Value;
  /** Of the rows that were read, [...ids, C] */
  readonly gradient: Value;
};
export type EmbeddingGradientAttributes = {
  /** Of the table. */
  readonly rows: number;
};

/**
 * The gradient of an embedding's table, [rows, C]: each row is the sum of the gradients where it was
 * read, and zero where it was not. It has no gradient rule: training takes first derivatives only.
 */
export const embeddingGradientOp: OpDefinition<Inputs, EmbeddingGradientAttributes> = {
  name: 'embeddingGradient',
  operands: { ids: 'required', gradient: 'required' },
  infer({ ids, gradient }, { rows }) {
    if (ids.dtype !== 's32') reject(`Operand ids is ${ids.dtype}; it must be s32.`);
    requireFloating('gradient', gradient);
    requireMinimumRank('gradient', gradient, 1);
    const channels = gradient.shape[gradient.shape.length - 1];
    requireShape('gradient', gradient, [...ids.shape, channels]);
    requireWhole('rows', rows, 1);
    return [{ dtype: gradient.dtype, shape: [rows, channels] }];
  },
  evaluate({ ids, gradient }, { rows }, [{ shape }]) {
    const channels = shape[1];
    const out = new Float64Array(rows * channels);
    for (const [i, id] of ids.data.entries()) {
      requireKnownId(id, rows);
      for (let c = 0; c < channels; c++) out[id * channels + c] += gradient.data[i * channels + c];
    }
    return [out];
  },
  flops: noFlops,
  vjp: 'not-differentiable',
};

/** Gradient [...ids, C] of the rows read to that of the table [rows, C]. */
export function embeddingGradient(
  b: GraphBuilder,
  ids: Value,
  gradient: Value,
  { rows }: EmbeddingGradientAttributes,
): Value {
  return b.apply('embeddingGradient', { ids, gradient }, { rows })[0];
}
