import { BookendError } from '../../core/errors.ts';
import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { type NoAttributes, noFlops, type OpDefinition, reject } from '../op.ts';
import { embeddingGradient } from './embedding-gradient.ts';
import { requireFloating, requireRank } from './rules.ts';

type Inputs = {
  /** s32, any shape */
  readonly ids: Value;
  /** [rows, C] */
  readonly table: Value;
};

/** Rows of a table by number: ids [...] to [..., C]. Ids are data and have no gradient. */
export const embeddingOp: OpDefinition<Inputs, NoAttributes> = {
  name: 'embedding',
  operands: { ids: 'required', table: 'required' },
  infer({ ids, table }) {
    if (ids.dtype !== 's32') reject(`Operand ids is ${ids.dtype}; it must be s32.`);
    requireFloating('table', table);
    requireRank('table', table, 2);
    return [{ dtype: table.dtype, shape: [...ids.shape, table.shape[1]] }];
  },
  evaluate({ ids, table }) {
    const [rows, channels] = table.shape;
    const out = new Float64Array(ids.data.length * channels);
    for (const [i, id] of ids.data.entries()) {
      requireKnownId(id, rows);
      out.set(table.data.subarray(id * channels, (id + 1) * channels), i * channels);
    }
    return [out];
  },
  flops: noFlops,
  vjp: (b, { ids, table }, _outputs, [gradient]) => ({
    table: embeddingGradient(b, ids, gradient, { rows: table.shape[0] }),
  }),
};

/** Throws `invalid-argument` for an id that no row of the table has. */
export function requireKnownId(id: number, rows: number): void {
  if (id >= 0 && id < rows) return;
  throw new BookendError(
    'invalid-argument',
    `Id ${id} is outside the embedding table; pass ids from 0 to ${rows - 1}.`,
  );
}

export function embedding(b: GraphBuilder, ids: Value, table: Value): Value {
  return b.apply('embedding', { ids, table }, {})[0];
}
