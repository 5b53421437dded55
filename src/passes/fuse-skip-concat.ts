import type { Node, Value } from '../ir/graph.ts';
import { isOp } from '../ir/op-table.ts';
import type { Pass } from './pass.ts';
import { type RewriteContext, type RewriteRule, rewrite } from './rewrite.ts';

/**
 * A concatenation on channels that only layers with two sources read is never made: each of them
 * reads its two operands. One other reader, and it would have to be made all the same.
 */
const readBothSources: RewriteRule = (node, { b, map, uses }) => {
  if (!takesSkip(node) || node.inputs.skip) return undefined;
  const joined = node.inputs.x.node;
  if (!isOp(joined, 'concat') || joined.attributes.axis !== node.inputs.x.shape.length - 1) {
    return undefined;
  }
  if (!readOnlyByLayers(node.inputs.x, uses)) return undefined;
  const inputs = Object.entries(node.inputs).map(([name, value]) => [name, map(value)]);
  const sources = { x: map(joined.inputs.first), skip: map(joined.inputs.second) };
  return b.applyAny(node.op, { ...Object.fromEntries(inputs), ...sources }, node.attributes);
};

function takesSkip(node: Node | undefined) {
  return isOp(node, 'conv2d', 'linear', 'groupNorm');
}

function readOnlyByLayers(value: Value, uses: RewriteContext['uses']): boolean {
  return uses(value).every(
    ({ node, operand }) => operand === 'x' && takesSkip(node) && !node?.inputs.skip,
  );
}

export const fuseSkipConcat: Pass = {
  name: 'fuse-skip-concat',
  run: (graph) => rewrite(graph, [readBothSources]),
};
