import type { Graph } from '../../src/ir/graph.ts';
import { type InferencePrecision, inferencePasses, runPasses } from '../../src/passes/index.ts';
import type { Executable, WeightSource } from '../../src/runtime/backend.ts';
import { nativeBackend } from '../../src/runtime/native/native-backend.ts';
import { referenceBackend } from '../../src/runtime/reference/reference-backend.ts';

export const verifiedBackends = ['native', 'reference'] as const;
export type VerifiedBackend = (typeof verifiedBackends)[number];

/** Lowers a model's graph to `precision` and makes it ready to run. */
export function compileOn(
  backend: VerifiedBackend,
  graph: Graph,
  weights: WeightSource,
  precision: InferencePrecision,
): Promise<Executable> {
  if (backend === 'native') return nativeBackend.compile(graph, weights, { precision });
  const lowered = runPasses(graph, inferencePasses(precision));
  // Rounding every value to its dtype makes bf16 differ from f32.
  return referenceBackend.compile(lowered, weights, { roundToDType: true });
}
