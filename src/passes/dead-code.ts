import type { Graph, Value } from '../ir/graph.ts';
import type { Pass } from './pass.ts';

/** Removes nodes and parameters that no output depends on; graph inputs stay. */
export function eliminateDeadCode(graph: Graph): Graph {
  const live = new Set<Value>(Object.values(graph.outputs));
  const nodes = graph.nodes.toReversed().filter((node) => {
    if (!node.outputs.some((value) => live.has(value))) return false;
    for (const value of Object.values(node.inputs)) live.add(value);
    return true;
  });
  const parameters = new Map([...graph.parameters].filter(([, value]) => live.has(value)));
  return { ...graph, nodes: nodes.reverse(), parameters };
}

export const deadCode: Pass = { name: 'dead-code', run: eliminateDeadCode };
