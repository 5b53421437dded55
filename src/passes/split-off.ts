import { BookendError } from '../core/errors.ts';
import type { Graph, Node, Value } from '../ir/graph.ts';
import { GraphBuilder } from '../ir/graph-builder.ts';
import { eliminateDeadCode } from './dead-code.ts';
import { copyNode } from './rewrite.ts';

/** A graph in two parts that, run one after the other, compute what the whole did. */
export interface Split {
  /** What depends on the chosen inputs alone; undefined when that is nothing. */
  readonly prefix: Graph | undefined;
  /** The remainder: its inputs include every output of `prefix`, under the same name. */
  readonly rest: Graph;
}

/**
 * Splits off what depends on the inputs named `inputs`, and on parameters, alone. In a U-Net that is
 * the time embedding for 'timestep', computed once per schedule, and the keys and values of
 * cross-attention for 'encoderHiddenStates', computed once per prompt. `rest` keeps those of
 * `inputs` that it still reads, and all others. The outputs of `prefix` are named after `inputs` and
 * numbered, 'timestep.0' and so on, so that `rest` can be split again.
 */
export function splitOff(graph: Graph, inputs: readonly string[]): Split {
  for (const name of inputs) {
    if (!Object.hasOwn(graph.inputs, name)) {
      throw new BookendError(
        'invalid-argument',
        `${graph.name} has no input named ${name}; it has ${Object.keys(graph.inputs).join(', ')}.`,
      );
    }
  }
  const label = inputs.join('+');
  const early = independentNodes(graph, inputs);
  const isEarly = (value: Value) => value.node !== undefined && early.has(value.node);
  const boundary = new Map<Value, string>();
  const cross = (value: Value) => {
    if (isEarly(value) && !boundary.has(value)) boundary.set(value, `${label}.${boundary.size}`);
  };
  const late = graph.nodes.filter((node) => !early.has(node));
  for (const node of late) for (const value of Object.values(node.inputs)) cross(value);
  for (const value of Object.values(graph.outputs)) cross(value);
  if (boundary.size === 0) return { prefix: undefined, rest: graph };

  const prefix = new Copier(graph, `${graph.name}.${label}`);
  for (const name of inputs) prefix.input(name);
  for (const node of early) prefix.node(node);
  for (const [value, name] of boundary) prefix.b.output(name, prefix.map(value));

  const rest = new Copier(graph, graph.name);
  const stillRead = new Set(late.flatMap((node) => Object.values(node.inputs)));
  for (const value of Object.values(graph.outputs)) stillRead.add(value);
  for (const [name, value] of Object.entries(graph.inputs)) {
    if (!inputs.includes(name) || stillRead.has(value)) rest.input(name);
  }
  for (const [value, name] of boundary) rest.define(value, name);
  for (const node of late) rest.node(node);
  for (const [name, value] of Object.entries(graph.outputs)) rest.b.output(name, rest.map(value));
  return {
    prefix: eliminateDeadCode(prefix.b.finish()),
    rest: eliminateDeadCode(rest.b.finish()),
  };
}

/** Nodes that depend on no input but those named. */
function independentNodes(graph: Graph, inputs: readonly string[]): ReadonlySet<Node> {
  const others = Object.entries(graph.inputs).filter(([name]) => !inputs.includes(name));
  const dependent = new Set<Value>(others.map(([, value]) => value));
  const independent = new Set<Node>();
  for (const node of graph.nodes) {
    if (Object.values(node.inputs).some((value) => dependent.has(value))) {
      for (const value of node.outputs) dependent.add(value);
    } else {
      independent.add(node);
    }
  }
  return independent;
}

/** Copies chosen parts of a graph into a new one. */
class Copier {
  readonly b: GraphBuilder;
  readonly #graph: Graph;
  readonly #mapped = new Map<Value, Value>();

  constructor(graph: Graph, name: string) {
    this.#graph = graph;
    this.b = new GraphBuilder(name);
    for (const [path, value] of graph.parameters) {
      this.#mapped.set(value, this.b.parameter(path, value.shape, value.dtype));
    }
  }

  readonly map = (value: Value): Value => this.#mapped.get(value)!;

  input(name: string): void {
    this.define(this.#graph.inputs[name], name);
  }

  /** Makes `value` an input of the new graph. */
  define(value: Value, name: string): void {
    this.#mapped.set(value, this.b.input(name, value.dtype, value.shape, value.quantization));
  }

  node(node: Node): void {
    const outputs = this.b.withScope(node.scope, () => copyNode(node, this));
    for (const [i, value] of node.outputs.entries()) this.#mapped.set(value, outputs[i]);
  }
}
