import type { Graph } from '../../src/ir/graph.ts';
import type { Executable, WeightSource } from '../../src/runtime/backend.ts';
import { referenceBackend } from '../../src/runtime/reference/reference-backend.ts';

export const verifiedBackends = ['reference'] as const;
export type VerifiedBackend = (typeof verifiedBackends)[number];

/** The reference backend rounds every value to its dtype, so that bf16 differs from f32. */
export function compileOn(
  backend: VerifiedBackend,
  graph: Graph,
  weights: WeightSource,
): Promise<Executable> {
  switch (backend) {
    case 'reference':
      return referenceBackend.compile(graph, weights, { roundToDType: true });
  }
}
