import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { noFlops, type OpDefinition, reject } from '../op.ts';
import { silu } from '../scalar-functions.ts';
import { concatArrays } from './concat.ts';
import { sourceChannels } from './linear.ts';
import {
  product,
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
 * channels and all positions, then gamma, beta and the fused activation. Its gradient is a backward
 * op that comes with training.
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
    const batch = shape[0];
    const channels = shape[shape.length - 1];
    const positions = product(shape.slice(1, -1));
    const perGroup = channels / groups;
    const out = new Float64Array(data.length);
    for (let task = 0; task < batch * groups; task++) {
      const start = Math.floor(task / groups) * positions * channels;
      const firstChannel = (task % groups) * perGroup;
      const each = (visit: (at: number, channel: number) => void) => {
        for (let position = 0; position < positions; position++) {
          for (let c = firstChannel; c < firstChannel + perGroup; c++) {
            visit(start + position * channels + c, c);
          }
        }
      };
      const count = positions * perGroup;
      let mean = 0;
      each((at) => {
        mean += data[at] / count;
      });
      let variance = 0;
      each((at) => {
        variance += (data[at] - mean) ** 2 / count;
      });
      const inverse = 1 / Math.sqrt(variance + eps);
      each((at, c) => {
        const y = (data[at] - mean) * inverse * gamma.data[c] + beta.data[c];
        out[at] = activation === 'silu' ? silu(y) : y;
      });
    }
    return [out];
  },
  flops: noFlops,
  vjp: 'not-differentiable',
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
