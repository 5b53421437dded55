import { BookendError } from '../core/errors.ts';
import type { Graph, Node, Value } from '../ir/graph.ts';
import type { GraphBuilder } from '../ir/graph-builder.ts';
import { opDefinition } from '../ir/op-table.ts';
import { add } from '../ir/ops/add.ts';
import { affine } from '../ir/ops/affine.ts';
import { cast } from '../ir/ops/cast.ts';
import { eliminateDeadCode } from './dead-code.ts';
import { copyInto } from './rewrite.ts';

/** What to differentiate, and with respect to what. */
export interface DifferentiateOptions {
  /** Name of a graph output with one element. */
  readonly loss: string;
  /** Parameter paths and input names. */
  readonly withRespectTo: readonly string[];
}

/**
 * Reverse-mode differentiation: the graph with outputs `gradient:<name>` added, each of the shape and
 * dtype of its parameter or input. Throws `unsupported`, naming the node, where the way from the
 * loss to `withRespectTo` passes an op without a gradient rule.
 */
export function differentiate(graph: Graph, { loss, withRespectTo }: DifferentiateOptions): Graph {
  const { b, map } = copyInto(graph);
  for (const [name, value] of Object.entries(graph.outputs)) b.output(name, map(value));
  const total = graph.outputs[loss] as Value | undefined;
  if (!total || total.shape.some((extent) => extent !== 1)) {
    throw new BookendError(
      'invalid-argument',
      `The loss ${loss} must be an output of ${graph.name} with a single element.`,
    );
  }
  const targets = new Map(withRespectTo.map((name) => [name, sourceNamed(graph, name)]));
  const needed = dependents(graph, new Set(targets.values()));
  const gradients = new Map<Value, Value>();
  gradients.set(total, affine(b, map(total), { scale: 0, offset: 1 }));
  for (const node of graph.nodes.toReversed()) {
    if (!node.outputs.some((value) => needed.has(value) && gradients.has(value))) continue;
    b.withScope(node.scope, () => propagate(b, node, map, needed, gradients));
  }
  for (const [name, value] of targets) {
    b.output(`gradient:${name}`, gradients.get(value) ?? affine(b, map(value), { scale: 0 }));
  }
  return eliminateDeadCode(b.finish());
}

/** Adds what `node` passes on to the gradients of its operands. */
function propagate(
  b: GraphBuilder,
  node: Node,
  map: (value: Value) => Value,
  needed: ReadonlySet<Value>,
  gradients: Map<Value, Value>,
): void {
  const { vjp } = opDefinition(node.op);
  if (vjp === 'not-differentiable') {
    throw new BookendError(
      'unsupported',
      `Node ${node.id} (${node.op}${node.scope ? ` in ${node.scope}` : ''}) has no gradient rule; differentiate with respect to something behind it.`,
    );
  }
  const inputs = Object.fromEntries(
    Object.entries(node.inputs).map(([name, value]) => [name, map(value)]),
  );
  const incoming = node.outputs.map(
    (value) => gradients.get(value) ?? affine(b, map(value), { scale: 0 }),
  );
  const results = vjp(b, inputs, node.outputs.map(map), incoming, node.attributes);
  for (const [name, value] of Object.entries(node.inputs)) {
    const gradient = results[name] as Value | undefined;
    if (!gradient || !needed.has(value)) continue;
    const fitting = cast(b, gradient, value.dtype);
    const before = gradients.get(value);
    gradients.set(value, before ? add(b, before, fitting) : fitting);
  }
}

function sourceNamed(graph: Graph, name: string): Value {
  const value = graph.parameters.get(name) ?? (graph.inputs[name] as Value | undefined);
  if (!value) {
    throw new BookendError(
      'invalid-argument',
      `${graph.name} has no parameter or input named ${name}; check the name.`,
    );
  }
  return value;
}

/** The values that depend on `sources`, these included. */
function dependents(graph: Graph, sources: ReadonlySet<Value>): ReadonlySet<Value> {
  const result = new Set(sources);
  for (const node of graph.nodes) {
    if (!Object.values(node.inputs).some((value) => result.has(value))) continue;
    for (const value of node.outputs) result.add(value);
  }
  return result;
}
