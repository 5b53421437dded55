import type { Graph, Node, Value } from '../ir/graph.ts';
import type { GraphBuilder } from '../ir/graph-builder.ts';
import { isOp } from '../ir/op-table.ts';
import { isGradientName } from './differentiate.ts';
import { copyInto, copyNode } from './rewrite.ts';

export interface CheckpointOptions {
  /** The segment that a node of the forward part belongs to; undefined: its Values are kept. */
  readonly segmentOf?: (node: Node) => string | undefined;
  /** Nodes whose Values are kept wherever they are. Default: none. */
  readonly keeps?: (node: Node) => boolean;
}

/**
 * Activation checkpointing (arXiv 1604.06174) of a differentiated graph: of each segment, by default
 * each block of the model, only the Values that other forward nodes or outputs read stay for the
 * backward part. The others are computed again, by the same ops from the same numbers, right before a
 * gradient first reads them, so that they need memory only while that segment's gradients are
 * computed. Results are the same, bit for bit.
 *
 * The forward part is what outputs other than `gradient:<name>` depend on. Merging common
 * subexpressions afterwards would undo it.
 */
export function checkpoint(graph: Graph, options: CheckpointOptions = {}): Graph {
  const { segmentOf = blockOf, keeps = () => false } = options;
  const forward = forwardNodes(graph);
  const dropped = droppedValues(graph, forward, { segmentOf, keeps });
  const again = new Map<Value, Value>();
  const { b, map } = copyInto(graph, (node, context) => {
    if (forward.has(node)) return undefined;
    const read = (value: Value): Value => {
      if (!dropped.has(value)) return context.map(value);
      if (!again.has(value)) recompute(context.b, value.node!, read, again);
      return again.get(value)!;
    };
    return copyNode(node, { b: context.b, map: read });
  });
  for (const [name, value] of Object.entries(graph.outputs)) b.output(name, map(value));
  return b.finish();
}

/**
 * The block that a node came from: a residual or attention block of a U-Net or an autoencoder, or a
 * layer of a text encoder.
 */
export function blockOf({ scope }: Pick<Node, 'scope'>): string | undefined {
  return /^(?:.*?\.)?(?:resnets|attentions|layers)\.\d+(?=\.|$)/.exec(scope)?.[0];
}

/** Whether a node computes a matrix product, next to which everything else costs little time. */
export function isProduct(node: Node): boolean {
  return isOp(node, 'conv2d', 'linear', 'matmul', 'attention');
}

/** Repeats the node that dropped Values came from, where the backward part has arrived. */
function recompute(
  b: GraphBuilder,
  node: Node,
  read: (value: Value) => Value,
  again: Map<Value, Value>,
): void {
  const outputs = b.withScope(node.scope, () => copyNode(node, { b, map: read }));
  for (const [i, value] of node.outputs.entries()) again.set(value, outputs[i]);
}

/** What outputs that are no gradients depend on. */
function forwardNodes(graph: Graph): ReadonlySet<Node> {
  const outputs = Object.entries(graph.outputs).filter(([name]) => !isGradientName(name));
  const live = new Set(outputs.map(([, value]) => value));
  const nodes = new Set<Node>();
  for (const node of graph.nodes.toReversed()) {
    if (!node.outputs.some((value) => live.has(value))) continue;
    nodes.add(node);
    for (const value of Object.values(node.inputs)) live.add(value);
  }
  return nodes;
}

/** Forward Values that no output is and no forward node of another segment reads. */
function droppedValues(
  graph: Graph,
  forward: ReadonlySet<Node>,
  { segmentOf, keeps }: Required<CheckpointOptions>,
): ReadonlySet<Value> {
  const dropped = new Set<Value>();
  for (const node of forward) {
    if (segmentOf(node) === undefined || keeps(node)) continue;
    for (const value of node.outputs) dropped.add(value);
  }
  for (const value of Object.values(graph.outputs)) dropped.delete(value);
  for (const node of forward) {
    for (const value of Object.values(node.inputs)) {
      if (value.node && segmentOf(value.node) !== segmentOf(node)) dropped.delete(value);
    }
  }
  return dropped;
}
