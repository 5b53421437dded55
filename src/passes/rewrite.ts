import { type Shape, sameShape } from '../core/shape.ts';
import type { Graph, Node, Value } from '../ir/graph.ts';
import { GraphBuilder } from '../ir/graph-builder.ts';
import { reshape } from '../ir/ops/reshape.ts';
import { eliminateDeadCode } from './dead-code.ts';

/** One reading of a Value; `node` is undefined when it is a graph output of that name. */
export interface Use {
  readonly node: Node | undefined;
  readonly operand: string;
}

/** What a rewrite rule sees: the old graph's uses, and the new graph being built. */
export interface RewriteContext {
  readonly b: GraphBuilder;
  /** Who reads a Value of the old graph. */
  uses(value: Value): readonly Use[];
  /** The new graph's counterpart of an old Value defined before the node at hand. */
  map(value: Value): Value;
}

/**
 * Looks at a node of the old graph; returns the new Values that take the place of its outputs, or
 * undefined to have it copied. Every replacement must bring the graph closer to one where no rule
 * matches.
 */
export type RewriteRule = (node: Node, context: RewriteContext) => readonly Value[] | undefined;

/**
 * Rebuilds `graph` with the first rule that matches at each node, again and again until none does,
 * so that rules only ever match against a finished graph. Nodes left without a reader are removed.
 */
export function rewrite(graph: Graph, rules: readonly RewriteRule[]): Graph {
  let current = eliminateDeadCode(graph);
  for (;;) {
    let matches = 0;
    const next = rebuild(current, (node, context) => {
      for (const rule of rules) {
        const replacement = rule(node, context);
        if (replacement) {
          matches++;
          return replacement;
        }
      }
      return undefined;
    });
    if (matches === 0) return current;
    current = eliminateDeadCode(next);
  }
}

/** One traversal: copies `graph` into a new builder, except where `rule` emits something else. */
export function rebuild(graph: Graph, rule: RewriteRule): Graph {
  const { b, map } = copyInto(graph, rule);
  for (const [name, value] of Object.entries(graph.outputs)) b.output(name, map(value));
  return b.finish();
}

/** The unfinished half of `rebuild`: everything but the outputs is there, and more can be added. */
export function copyInto(graph: Graph, rule: RewriteRule = () => undefined): RewriteContext {
  const b = new GraphBuilder(graph.name);
  const mapped = new Map<Value, Value>();
  const map = (value: Value): Value => {
    const found = mapped.get(value);
    if (!found) throw new RangeError(`Value %${value.id} is used before it is defined.`);
    return found;
  };
  for (const [name, value] of Object.entries(graph.inputs)) {
    mapped.set(value, b.input(name, value.dtype, value.shape, value.quantization));
  }
  for (const [path, value] of graph.parameters) {
    mapped.set(value, b.parameter(path, value.shape, value.dtype));
  }
  const uses = collectUses(graph);
  const context: RewriteContext = { b, map, uses: (value) => uses.get(value) ?? [] };
  for (const node of graph.nodes) {
    const outputs = b.withScope(node.scope, () => rule(node, context) ?? copyNode(node, context));
    for (const [i, value] of node.outputs.entries()) mapped.set(value, outputs[i]);
  }
  return context;
}

/** Repeats `node` in the new graph. */
export function copyNode(
  node: Node,
  { b, map }: Pick<RewriteContext, 'b' | 'map'>,
): readonly Value[] {
  const entries = Object.entries(node.inputs).map(([name, value]) => [name, map(value)]);
  return b.applyAny(node.op, Object.fromEntries(entries), node.attributes);
}

/** `value` under another shape; no node when it has that shape already. */
export function reshaped(b: GraphBuilder, value: Value, shape: Shape): Value {
  return sameShape(value.shape, shape) ? value : reshape(b, value, shape);
}

function collectUses(graph: Graph): Map<Value, Use[]> {
  const uses = new Map<Value, Use[]>();
  const add = (value: Value, use: Use) => {
    const list = uses.get(value);
    if (list) list.push(use);
    else uses.set(value, [use]);
  };
  for (const node of graph.nodes) {
    for (const [operand, value] of Object.entries(node.inputs)) add(value, { node, operand });
  }
  for (const [operand, value] of Object.entries(graph.outputs)) {
    add(value, { node: undefined, operand });
  }
  return uses;
}
