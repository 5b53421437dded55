import type { Graph } from '../ir/graph.ts';

/** A pure function from a Graph to an equivalent one; inputs and outputs keep names and types. */
export interface Pass {
  readonly name: string;
  readonly run: (graph: Graph) => Graph;
}

/** Applies `passes` in order. */
export function runPasses(graph: Graph, passes: readonly Pass[]): Graph {
  return passes.reduce((current, pass) => pass.run(current), graph);
}
