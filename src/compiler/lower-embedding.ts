import { elementCount } from '../core/shape.ts';
import type { NodeOf } from '../ir/op-table.ts';
import type { Lowering } from './lowering.ts';

export function lowerEmbedding(node: NodeOf<'embedding'>, lowering: Lowering): void {
  const { ids, table } = node.inputs;
  const [rows, width] = table.shape;
  const count = elementCount(ids.shape);
  const output = node.outputs[0].dtype;
  const fields = { count, rows, width, tableType: table.dtype, output };
  lowering.emit(node, 'embedding', fields, {
    ids: lowering.place(ids),
    table: lowering.place(table),
    out: lowering.allocate(node.outputs[0]),
  });
}

export function lowerTimestepEmbedding(
  node: NodeOf<'timestepEmbedding'>,
  lowering: Lowering,
): void {
  const { timestep } = node.inputs;
  const { dim, flipSinToCos, freqShift, maxPeriod } = node.attributes;
  const fields = {
    count: timestep.shape[0],
    dim,
    cosineFirst: flipSinToCos,
    frequencyShift: freqShift,
    maxPeriod,
  };
  lowering.emit(node, 'timestepEmbedding', fields, {
    timesteps: lowering.place(timestep),
    out: lowering.allocate(node.outputs[0]),
  });
}
