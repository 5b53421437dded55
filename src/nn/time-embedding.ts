import type { Value } from '../ir/graph.ts';
import type { GraphBuilder } from '../ir/graph-builder.ts';
import { add, silu, timestepEmbedding } from '../ir/ops/index.ts';
import { linear } from './layers.ts';

export interface TimeEmbeddingOptions {
  /** Width of the sinusoidal features. */
  readonly sinusoids: number;
  /** Width of the result. */
  readonly width: number;
  readonly flipSinToCos: boolean;
  readonly freqShift: number;
  /** Guidance embedding of a distilled (LCM) model, [batch, any width]. */
  readonly condition?: Value;
}

/**
 * Timesteps f32 [batch] → [batch, width]: sinusoids (arXiv 2006.11239, section B), a two-layer
 * perceptron, and the SiLU that every residual block would otherwise apply for itself. Depends on
 * nothing but the timestep (and `condition`), so it can be computed once per schedule.
 */
export function timeFeatures(
  b: GraphBuilder,
  timestep: Value,
  { sinusoids, width, flipSinToCos, freqShift, condition }: TimeEmbeddingOptions,
): Value {
  const waves = b.scope('time_proj', () =>
    timestepEmbedding(b, timestep, { dim: sinusoids, flipSinToCos, freqShift, maxPeriod: 10000 }),
  );
  return b.scope('time_embedding', () => {
    const input = condition
      ? add(b, waves, linear(b, 'cond_proj', condition, sinusoids, { bias: false }))
      : waves;
    const hidden = silu(b, linear(b, 'linear_1', input, width));
    return silu(b, linear(b, 'linear_2', hidden, width));
  });
}
