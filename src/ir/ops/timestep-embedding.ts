import type { Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { noFlops, type OpDefinition, reject } from '../op.ts';
import { requireRank, requireWhole } from './rules.ts';

type Inputs = {
  /** f32 [batch] */
  readonly timestep: Value;
};
export type TimestepEmbeddingAttributes = {
  /** Channels of the result, even. */
  readonly dim: number;
  /** Whether the cosines come first. */
  readonly flipSinToCos: boolean;
  /** Taken off the number of frequencies in the exponent's divisor. */
  readonly freqShift: number;
  readonly maxPeriod: number;
};

/**
 * Sinusoidal embedding of timesteps (arXiv 2006.11239, after 1706.03762): sin and cos of
 * t · maxPeriod^(-i / (dim/2 - freqShift)). Timesteps reach 1000, so the rounding of t · frequency
 * to f32 moves the sines by up to 3e-5: the meaning of the op therefore includes f32 rounding of
 * each intermediate, as models were trained with. Timesteps are data and have no gradient.
 */
export const timestepEmbeddingOp: OpDefinition<Inputs, TimestepEmbeddingAttributes> = {
  name: 'timestepEmbedding',
  operands: { timestep: 'required' },
  infer({ timestep }, { dim, freqShift }) {
    if (timestep.dtype !== 'f32') reject(`Timesteps are ${timestep.dtype}; they must be f32.`);
    requireRank('timestep', timestep, 1);
    requireWhole('dim', dim, 2);
    if (dim % 2 !== 0) reject(`Attribute dim is ${dim}; it must be even.`);
    if (freqShift >= dim / 2) {
      reject(`Attribute freqShift is ${freqShift}; it must be below dim / 2 = ${dim / 2}.`);
    }
    return [{ dtype: 'f32', shape: [timestep.shape[0], dim] }];
  },
  evaluate({ timestep }, { dim, flipSinToCos, freqShift, maxPeriod }) {
    const half = dim / 2;
    const out = new Float64Array(timestep.data.length * dim);
    const sinAt = flipSinToCos ? half : 0;
    const cosAt = flipSinToCos ? 0 : half;
    for (let i = 0; i < half; i++) {
      const scaled = Math.fround(Math.fround(-Math.log(maxPeriod)) * i);
      const frequency = Math.fround(Math.exp(Math.fround(scaled / (half - freqShift))));
      for (let row = 0; row < timestep.data.length; row++) {
        const angle = Math.fround(timestep.data[row] * frequency);
        out[row * dim + sinAt + i] = Math.sin(angle);
        out[row * dim + cosAt + i] = Math.cos(angle);
      }
    }
    return [out];
  },
  flops: noFlops,
  vjp: 'not-differentiable',
};

/** f32 timesteps [batch] to f32 [batch, dim]. */
export function timestepEmbedding(
  b: GraphBuilder,
  timestep: Value,
  attributes: TimestepEmbeddingAttributes,
): Value {
  const { dim, flipSinToCos, freqShift, maxPeriod } = attributes;
  return b.apply('timestepEmbedding', { timestep }, { dim, flipSinToCos, freqShift, maxPeriod })[0];
}
