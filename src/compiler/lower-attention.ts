import type { NodeOf } from '../ir/op-table.ts';
import { type Lowering, quantizeFields } from './lowering.ts';

/** q, k and v may be slices of one wider tensor: the kernel steps over the rest of each row. */
export function lowerAttention(node: NodeOf<'attention'>, lowering: Lowering): void {
  const { heads, scale, causal } = node.attributes;
  const [batch, queries, channels] = node.inputs.q.shape;
  const q = lowering.rows(node.inputs.q);
  const k = lowering.rows(node.inputs.k);
  const v = lowering.rows(node.inputs.v);
  const fields = {
    batch,
    heads,
    queries,
    keys: node.inputs.k.shape[1],
    headDim: channels / heads,
    qStride: q.stride,
    kStride: k.stride,
    vStride: v.stride,
    scale,
    causal,
    type: node.inputs.q.dtype,
    output: node.outputs[0].dtype,
    ...quantizeFields(node.outputs[0]),
    scores: node.attributes.scores ?? ('float' as const),
  };
  const out = lowering.allocate(node.outputs[0]);
  lowering.emit(node, 'attention', fields, { q: q.place, k: k.place, v: v.place, out });
}
