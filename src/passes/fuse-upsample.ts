import type { Value } from '../ir/graph.ts';
import { isOp, type NodeOf } from '../ir/op-table.ts';
import type { Pass } from './pass.ts';
import { type RewriteContext, type RewriteRule, rewrite } from './rewrite.ts';

/** Nearest upsampling by exactly 2 that only convolutions read is done in their address arithmetic. */
const readThroughUpsample: RewriteRule = (node, { b, map, uses }) => {
  if (!isOp(node, 'conv2d') || node.attributes.upsample !== 1 || node.inputs.skip) return undefined;
  const upsampled = node.inputs.x;
  if (!isOp(upsampled.node, 'upsampleNearest') || !doubles(upsampled.node)) return undefined;
  if (!readOnlyByConvolutions(upsampled, uses)) return undefined;
  const inputs = Object.entries(node.inputs).map(([name, value]) => [name, map(value)]);
  return b.applyAny(
    'conv2d',
    { ...Object.fromEntries(inputs), x: map(upsampled.node.inputs.x) },
    { ...node.attributes, upsample: 2 },
  );
};

function doubles({ inputs, attributes }: NodeOf<'upsampleNearest'>): boolean {
  const [, height, width] = inputs.x.shape;
  return attributes.height === 2 * height && attributes.width === 2 * width;
}

function readOnlyByConvolutions(value: Value, uses: RewriteContext['uses']): boolean {
  return uses(value).every(
    ({ node, operand }) =>
      operand === 'x' &&
      isOp(node, 'conv2d') &&
      node.attributes.upsample === 1 &&
      !node.inputs.skip,
  );
}

export const fuseUpsample: Pass = {
  name: 'fuse-upsample',
  run: (graph) => rewrite(graph, [readThroughUpsample]),
};
