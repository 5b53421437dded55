import type { Node, Value } from '../ir/graph.ts';
import { operandsOf } from '../ir/op-table.ts';
import { eliminateDeadCode } from './dead-code.ts';
import type { Pass } from './pass.ts';
import { copyNode, type RewriteContext, rebuild } from './rewrite.ts';

/**
 * Computes equal nodes once: the activation of the time embedding, for one, is written in every
 * residual block.
 */
export const commonSubexpressions: Pass = {
  name: 'common-subexpressions',
  run(graph) {
    const known = new Map<string, readonly Value[]>();
    const merged = rebuild(graph, (node, context) => {
      const key = keyOf(node, context);
      const outputs = known.get(key) ?? copyNode(node, context);
      known.set(key, outputs);
      return outputs;
    });
    return eliminateDeadCode(merged);
  },
};

/** Equal for nodes of one op with the same attributes over the same new Values. */
function keyOf(node: Node, { map }: RewriteContext): string {
  const operands = operandsOf(node).map(([name, value]) => `${name}=${map(value).id}`);
  const attributes = Object.entries(node.attributes).sort(([a], [b]) => (a < b ? -1 : 1));
  return `${node.op}(${operands.join()})${JSON.stringify(attributes)}`;
}
