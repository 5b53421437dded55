import type { NodeOf } from '../ir/op-table.ts';
import { product } from '../ir/ops/rules.ts';
import type { Lowering } from './lowering.ts';

export function lowerObserve(node: NodeOf<'observe'>, lowering: Lowering): void {
  const { x } = node.inputs;
  const [histogram, range, sums, squares] = node.outputs.map((value) => lowering.allocate(value));
  const fields = {
    rows: product(x.shape.slice(0, -1)),
    channels: x.shape[x.shape.length - 1],
    input: x.dtype,
  };
  lowering.emit(node, 'observe', fields, {
    x: lowering.place(x),
    histogram,
    range,
    sums,
    squares,
  });
}
