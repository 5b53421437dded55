import { sameShape } from '../core/shape.ts';
import type { Node, Value } from '../ir/graph.ts';
import { isOp, type NodeOf } from '../ir/op-table.ts';
import type { Activation } from '../ir/ops/epilogue.ts';
import type { Pass } from './pass.ts';
import { type RewriteContext, type RewriteRule, reshaped, rewrite } from './rewrite.ts';

type Layer = NodeOf<'conv2d'> | NodeOf<'linear'>;

const ACTIVATION_OF: Partial<Record<Node['op'], Activation>> = {
  silu: 'silu',
  gelu: 'gelu',
  quickGelu: 'quickGelu',
  relu: 'relu',
  geglu: 'geglu',
};

/** layer + time embedding, which is the same at every position of an image: rowBias. */
const fuseRowBias: RewriteRule = (node, context) => {
  if (!isOp(node, 'add')) return undefined;
  const { b, map } = context;
  for (const [sum, other] of operandOrders(node)) {
    const layer = layerBehind(sum, context);
    if (!layer || !isPlain(layer) || layer.inputs.rowBias) continue;
    const rows = [sum.shape[0], sum.shape[sum.shape.length - 1]];
    const perRow = [rows[0], ...sum.shape.slice(1, -1).fill(1), rows[1]];
    const fits =
      sameShape(node.outputs[0].shape, sum.shape) &&
      sameShape(other.shape, perRow) &&
      !sameShape(other.shape, sum.shape) &&
      layer.outputs[0].shape[0] === rows[0];
    if (!fits) continue;
    const source = other.node;
    const rowBias =
      isOp(source, 'reshape') && sameShape(source.inputs.x.shape, rows)
        ? map(source.inputs.x)
        : reshaped(b, map(other), rows);
    return [extend(context, layer, node, { rowBias }, {})];
  }
  return undefined;
};

/** layer → activation. */
const fuseActivation: RewriteRule = (node, context) => {
  const activation = ACTIVATION_OF[node.op];
  if (!activation) return undefined;
  const layer = layerBehind(node.inputs.x, context);
  if (!layer || !isPlain(layer)) return undefined;
  return [extend(context, layer, node, {}, { activation })];
};

/**
 * layer + anything of its shape: residual. Of two layers the later one takes the other's result,
 * which by then is there.
 */
const fuseResidual: RewriteRule = (node, context) => {
  if (!isOp(node, 'add') || !sameShape(node.inputs.a.shape, node.inputs.b.shape)) return undefined;
  const candidates = operandOrders(node).flatMap(([sum, other]) => {
    const layer = sum === other ? undefined : layerBehind(sum, context);
    const free = layer && !layer.inputs.residual && layer.attributes.outputScale === 1;
    return free ? [{ layer, other }] : [];
  });
  if (candidates.length === 0) return undefined;
  const { layer, other } = candidates.reduce((a, b) => (b.layer.id > a.layer.id ? b : a));
  const residual = reshaped(context.b, context.map(other), layer.outputs[0].shape);
  return [extend(context, layer, node, { residual }, {})];
};

/** layer × constant: outputScale, which comes last. */
const fuseScale: RewriteRule = (node, context) => {
  if (!isOp(node, 'affine') || node.attributes.offset !== 0) return undefined;
  const layer = layerBehind(node.inputs.x, context);
  if (!layer) return undefined;
  const outputScale = layer.attributes.outputScale * node.attributes.scale;
  return [extend(context, layer, node, {}, { outputScale })];
};

function operandOrders({ inputs: { a, b } }: NodeOf<'add'>): [Value, Value][] {
  return [
    [a, b],
    [b, a],
  ];
}

/** The layer whose result `value` is, perhaps under another shape, if nobody else reads it. */
function layerBehind(value: Value, { uses }: RewriteContext): Layer | undefined {
  if (uses(value).length !== 1) return undefined;
  const { node } = value;
  if (isOp(node, 'conv2d', 'linear')) return node as Layer;
  if (!isOp(node, 'reshape')) return undefined;
  const { x } = node.inputs;
  const keepsChannels = x.shape[x.shape.length - 1] === value.shape[value.shape.length - 1];
  if (!keepsChannels || uses(x).length !== 1) return undefined;
  return isOp(x.node, 'conv2d', 'linear') ? (x.node as Layer) : undefined;
}

/** Whether the layer's epilogue ends with its biases. */
function isPlain({ inputs, attributes }: Layer): boolean {
  return (
    attributes.activation === 'none' &&
    attributes.outputScale === 1 &&
    inputs.residual === undefined
  );
}

/** Emits `layer` again with more in its epilogue, in place of `node`. */
function extend(
  { b, map }: RewriteContext,
  layer: Layer,
  node: Node,
  operands: Readonly<Record<string, Value>>,
  attributes: Partial<Layer['attributes']>,
): Value {
  const inputs = Object.entries(layer.inputs).map(([name, value]) => [name, map(value)]);
  const [output] = b.withScope(layer.scope, () =>
    b.applyAny(
      layer.op,
      { ...Object.fromEntries(inputs), ...operands },
      { ...layer.attributes, ...attributes },
    ),
  );
  return reshaped(b, output, node.outputs[0].shape);
}

/** Moves what follows a conv2d or linear into its epilogue, where the sums are still in registers. */
export const fuseEpilogues: Pass = {
  name: 'fuse-epilogues',
  run: (graph) => rewrite(graph, [fuseRowBias, fuseActivation, fuseResidual, fuseScale]),
};
