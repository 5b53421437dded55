import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { noFlops, type OpDefinition, reject } from '../op.ts';
import { silu } from '../scalar-functions.ts';
import { concatArrays } from './concat.ts';
import { groupNormGradient } from './group-norm-gradient.ts';
import { sourceChannels } from './linear.ts';
import { normGroups } from './norm-groups.ts';
import {
  refuseFused,
  requireFloating,
  requireMinimumRank,
  requireShape,
  requireWhole,
} from './rules.ts';
import { type QuantizeAttribute, storedType } from './stored-type.ts';

type Inputs = {
  /** [batch, ..., C] */
  readonly x: Value;
  /** Second source: the concatenation of x and skip on channels is normalised. */
  readonly skip?: Value;
  /** [C] */
  readonly gamma: Value;
  /** [C] */
  readonly beta: Value;
};
export type GroupNormAttributes = QuantizeAttribute & {
  readonly groups: number;
  readonly eps: number;
  readonly activation: 'none' | 'silu';
};

/**
 * Group normalisation (arXiv 1803.08494) over channels-last data: mean and variance over a group's
 * channels and all positions, then gamma, beta and the fused activation. The gradient rule covers
 * the plain form only: differentiate before fusing.
 */
export const groupNormOp: OpDefinition<Inputs, GroupNormAttributes> = {
  name: 'groupNorm',
  operands: { x: 'required', skip: 'optional', gamma: 'required', beta: 'required' },
  infer(types, attributes) {
    const { groups, activation } = attributes;
    const { x, gamma, beta } = types;
    requireFloating('x', x);
    requireMinimumRank('x', x, 2);
    const channels = sourceChannels(types);
    requireWhole('groups', groups, 1, channels);
    if (channels % groups !== 0) {
      reject(`${channels} channels do not split into ${groups} equal groups; use a divisor.`);
    }
    if (activation !== 'none' && activation !== 'silu') {
      reject(`Activation ${activation} is unknown; groupNorm knows none and silu.`);
    }
    requireFloating('gamma', gamma);
    requireFloating('beta', beta);
    requireShape('gamma', gamma, [channels]);
    requireShape('beta', beta, [channels]);
    return [storedType({ dtype: x.dtype, shape: x.shape.with(-1, channels) }, attributes)];
  },
  evaluate({ x, skip, gamma, beta }, { groups, eps, activation }) {
    const { shape, data } = skip ? concatArrays(x, skip, x.shape.length - 1) : x;
    const out = new Float64Array(data.length);
    for (const { mean, inverse, each } of normGroups({ shape, data }, { groups, eps })) {
      each((at, c) => {
        const y = (data[at] - mean) * inverse * gamma.data[c] + beta.data[c];
        out[at] = activation === 'silu' ? silu(y) : y;
      });
    }
    return [out];
  },
  flops: noFlops,
  vjp(b, { x, skip, gamma }, _outputs, [gradient], { groups, eps, activation }) {
    if (skip || activation !== 'none') refuseFused();
    return groupNormGradient(b, { x, gamma, gradient }, { groups, eps });
  },
};

/** Normalises x [batch, ..., C] in `groups` groups of channels; gamma and beta are [C]. */
export function groupNorm(
  b: GraphBuilder,
  x: Value,
  gamma: Value,
  beta: Value,
  { groups, eps }: { groups: number; eps: number },
): Value {
  return b.apply('groupNorm', { x, gamma, beta }, { groups, eps, activation: 'none' })[0];
}
