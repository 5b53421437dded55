import { isOp } from '../ir/op-table.ts';
import type { Pass } from './pass.ts';
import { type RewriteRule, rewrite } from './rewrite.ts';

/** groupNorm → silu, where nobody else reads the norm, becomes one node. */
const fuseSilu: RewriteRule = (node, { b, map, uses }) => {
  if (!isOp(node, 'silu')) return undefined;
  const norm = node.inputs.x.node;
  if (!isOp(norm, 'groupNorm') || uses(node.inputs.x).length !== 1) return undefined;
  if (norm.attributes.activation !== 'none') return undefined;
  const { x, skip, gamma, beta } = norm.inputs;
  const inputs = { x: map(x), skip: skip && map(skip), gamma: map(gamma), beta: map(beta) };
  const attributes = { ...norm.attributes, activation: 'silu' as const };
  return b.withScope(norm.scope, () => b.apply('groupNorm', inputs, attributes));
};

export const fuseGroupNorm: Pass = {
  name: 'fuse-group-norm',
  run: (graph) => rewrite(graph, [fuseSilu]),
};
