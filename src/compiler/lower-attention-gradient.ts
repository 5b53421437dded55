import type { NodeOf } from '../ir/op-table.ts';
import type { Lowering } from './lowering.ts';

export function lowerAttentionGradient(
  node: NodeOf<'attentionGradient'>,
  lowering: Lowering,
): void {
  const { q, k, v, output, gradient } = node.inputs;
  const { heads, scale, causal } = node.attributes;
  const [batch, queries, channels] = q.shape;
  const keys = k.shape[1];
  const headDim = channels / heads;
  const fields = { batch, heads, queries, keys, headDim, scale, causal, type: q.dtype };
  const [queryGradient, keyGradient, valueGradient] = node.outputs.map((value) =>
    lowering.allocate(value),
  );
  lowering.emit(node, 'attentionGradient', fields, {
    q: lowering.place(q),
    k: lowering.place(k),
    v: lowering.place(v),
    output: lowering.place(output),
    gradient: lowering.place(gradient),
    queryGradient,
    keyGradient,
    valueGradient,
  });
}
