import type { TensorType, Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { noFlops, type OpDefinition, reject } from '../op.ts';
import { normGradients } from './norm-groups.ts';
import {
  requireFloating,
  requireMinimumRank,
  requireSameDType,
  requireShape,
  requireWhole,
} from './rules.ts';

type Inputs = {
  /** What was normalised, [batch, ..., C] */
  readonly x: Value;
  /** [C] */
  readonly gamma: Value;
  /** Of the norm's output, [batch, ..., C] */
  readonly gradient: Value;
};
export type GroupNormGradientAttributes = { readonly groups: number; readonly eps: number };

/**
 * Gradients of group normalisation: of x, like x, and of gamma and beta, like gamma. Mean and
 * variance are computed again from x. It has no gradient rule: training takes first derivatives
 * only.
 */
export const groupNormGradientOp: OpDefinition<Inputs, GroupNormGradientAttributes> = {
  name: 'groupNormGradient',
  operands: { x: 'required', gamma: 'required', gradient: 'required' },
  infer(types, { groups }) {
    requireMinimumRank('x', types.x, 2);
    const channels = types.x.shape[types.x.shape.length - 1];
    requireWhole('groups', groups, 1, channels);
    if (channels % groups !== 0) {
      reject(`${channels} channels do not split into ${groups} equal groups; use a divisor.`);
    }
    return inferNormGradients(types);
  },
  evaluate: ({ x, gamma, gradient }, attributes) => normGradients(x, gamma, gradient, attributes),
  flops: noFlops,
  vjp: 'not-differentiable',
};

/** Checks the operands of a norm's gradient; gives the types of dx, dgamma and dbeta. */
export function inferNormGradients({
  x,
  gamma,
  gradient,
}: { readonly [K in keyof Inputs]: TensorType }): readonly TensorType[] {
  requireFloating('x', x);
  requireFloating('gamma', gamma);
  requireShape('gamma', gamma, x.shape.slice(-1));
  requireSameDType('gradient', gradient, x.dtype);
  requireShape('gradient', gradient, x.shape);
  const parameter = { dtype: gamma.dtype, shape: gamma.shape };
  return [{ dtype: x.dtype, shape: x.shape }, parameter, parameter];
}

/** Gradients of a group normalisation's x, gamma and beta. */
export function groupNormGradient(
  b: GraphBuilder,
  { x, gamma, gradient }: Inputs,
  { groups, eps }: GroupNormGradientAttributes,
): { x: Value; gamma: Value; beta: Value } {
  const outputs = b.apply('groupNormGradient', { x, gamma, gradient }, { groups, eps });
  return { x: outputs[0], gamma: outputs[1], beta: outputs[2] };
}
