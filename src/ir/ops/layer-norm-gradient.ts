import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { noFlops, type OpDefinition } from '../op.ts';
import { inferNormGradients } from './group-norm-gradient.ts';
import { normGradients } from './norm-groups.ts';
import { requireMinimumRank } from './rules.ts';

type Inputs = {
  /** What was normalised, [..., C] */
  readonly x: Value;
  /** [C] */
  readonly gamma: Value;
  /** Of the norm's output, [..., C] */
  readonly gradient: Value;
};
export type LayerNormGradientAttributes = { readonly eps: number };

/**
 * Gradients of layer normalisation: of x, like x, and of gamma and beta, like gamma. Mean and
 * variance are computed again from x. It has no gradient rule: training takes first derivatives
 * only.
 */
export const layerNormGradientOp: OpDefinition<Inputs, LayerNormGradientAttributes> = {
  name: 'layerNormGradient',
  operands: { x: 'required', gamma: 'required', gradient: 'required' },
  infer(types) {
    requireMinimumRank('x', types.x, 1);
    return inferNormGradients(types);
  },
  evaluate({ x, gamma, gradient }, { eps }) {
    const channels = gamma.data.length;
    const rows = { shape: [x.data.length / channels, channels], data: x.data };
    return normGradients(rows, gamma, gradient, { groups: 1, eps });
  },
  flops: noFlops,
  vjp: 'not-differentiable',
};

/** Gradients of a layer normalisation's x, gamma and beta. */
export function layerNormGradient(
  b: GraphBuilder,
  { x, gamma, gradient }: Inputs,
  { eps }: LayerNormGradientAttributes,
): { x: Value; gamma: Value; beta: Value } {
  const outputs = b.apply('layerNormGradient', { x, gamma, gradient }, { eps });
  return { x: outputs[0], gamma: outputs[1], beta: outputs[2] };
}
