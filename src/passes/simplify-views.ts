import { sameShape } from '../core/shape.ts';
import { isOp } from '../ir/op-table.ts';
import { reshape } from '../ir/ops/reshape.ts';
import type { Pass } from './pass.ts';
import { type RewriteRule, rewrite } from './rewrite.ts';

/** A reshape to the shape that is there already vanishes; of a reshape, only the last counts. */
const mergeReshape: RewriteRule = (node, { b, map }) => {
  if (!isOp(node, 'reshape')) return undefined;
  const { x } = node.inputs;
  const { shape } = node.attributes;
  if (sameShape(x.shape, shape)) return [map(x)];
  if (!isOp(x.node, 'reshape')) return undefined;
  return [reshape(b, map(x.node.inputs.x), shape)];
};

export const simplifyViews: Pass = {
  name: 'simplify-views',
  run: (graph) => rewrite(graph, [mergeReshape]),
};
