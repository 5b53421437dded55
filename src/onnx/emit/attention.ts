import type { Value } from '../../ir/graph.ts';
import type { NodeOf } from '../../ir/op-table.ts';
import type { Emitter } from '../emitter.ts';

/**
 * softmax(scale · q kᵀ) v, head by head. INT8 scores are a way of computing, which a file of f32
 * attention does not say.
 */
export function emitAttention(e: Emitter, node: NodeOf<'attention'>): void {
  const { q, k, v } = node.inputs;
  const { heads, scale, causal } = node.attributes;
  const [output] = node.outputs;
  const split = (value: Value, order: readonly number[]) => {
    const [batch, tokens, channels] = value.shape;
    const apart = e.reshape(e.real(value), [batch, tokens, heads, channels / heads]);
    return e.node('Transpose', [apart], { perm: order });
  };
  const queries = e.node('Mul', [split(q, [0, 2, 1, 3]), e.constants.scalar(scale)]);
  let scores = e.node('MatMul', [queries, split(k, [0, 2, 3, 1])]);
  if (causal) scores = e.node('Add', [scores, causalMask(e, q.shape[1])]);
  const weights = e.node('Softmax', [scores], { axis: -1 });
  const mixed = e.node('MatMul', [weights, split(v, [0, 2, 1, 3])]);
  const together = e.node('Transpose', [mixed], { perm: [0, 2, 1, 3] });
  e.store(output, 'last', e.reshape(together, output.shape));
}

/** 0 on and below the diagonal, -Infinity above. */
function causalMask(e: Emitter, tokens: number): string {
  const mask = Array.from({ length: tokens * tokens }, (_, i) =>
    i % tokens > Math.floor(i / tokens) ? Number.NEGATIVE_INFINITY : 0,
  );
  return e.constants.floats([tokens, tokens], mask);
}
