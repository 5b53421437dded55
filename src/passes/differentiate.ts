import { BookendError } from '../core/errors.ts';
import type { Graph, Node, Value } from '../ir/graph.ts';
import type { GraphBuilder } from '../ir/graph-builder.ts';
import { opDefinition } from '../ir/op-table.ts';
import { add } from '../ir/ops/add.ts';
import { affine } from '../ir/ops/affine.ts';
import { cast } from '../ir/ops/cast.ts';
import { isFloating } from '../ir/ops/rules.ts';
import { eliminateDeadCode } from './dead-code.ts';
import { copyInto } from './rewrite.ts';

/** What to differentiate, and with respect to what. */
export type DifferentiateOptions = {
  /** Parameter paths and input names; of floating types. */
  readonly withRespectTo: readonly string[];
} & (
  | {
      /** Name of a graph output with one element. */
      readonly loss: string;
    }
  | {
      /**
       * Names of graph outputs of any shape, whose own gradients are given from outside: each becomes
       * an input `outputGradient:<name>` like the output.
       */
      readonly outputs: readonly string[];
    }
);

/** The name of the graph output that holds the gradient of a parameter or an input. */
export function gradientName(name: string): string {
  return `gradient:${name}`;
}

/** Whether an output of a differentiated graph is a gradient. */
export function isGradientName(output: string): boolean {
  return output.startsWith(gradientName(''));
}

/** The name of the graph input that takes the gradient of an output. */
export function outputGradientName(name: string): string {
  return `outputGradient:${name}`;
}

/**
 * Reverse-mode differentiation: the graph with outputs `gradient:<name>` added, each of the shape and
 * dtype of its parameter or input. A Value that is read several times has the sum of what its
 * readers give, in the Value's dtype. Wants the graph as models build it, before fusion and
 * quantization.
 *
 * @throws BookendError `invalid-argument` for unknown names and integers; `unsupported`, naming the
 * node, where the way to `withRespectTo` passes an op or a fused form without a gradient rule
 */
export function differentiate(graph: Graph, options: DifferentiateOptions): Graph {
  const { b, map } = copyInto(graph);
  for (const [name, value] of Object.entries(graph.outputs)) b.output(name, map(value));
  const targets = new Map(options.withRespectTo.map((name) => [name, sourceNamed(graph, name)]));
  const needed = dependents(graph, new Set(targets.values()));
  const gradients = new Gradients(b, needed);
  for (const [value, gradient] of seeds(b, graph, map, options)) gradients.add(value, gradient);
  for (const node of graph.nodes.toReversed()) {
    if (!node.outputs.some((value) => gradients.has(value))) continue;
    b.withScope(node.scope, () => propagate(b, node, map, gradients));
  }
  for (const [name, value] of targets) b.output(gradientName(name), gradients.of(value, map));
  return eliminateDeadCode(b.finish());
}

/** The gradients found so far, of Values of the old graph, as Values of the new one. */
class Gradients {
  readonly #b: GraphBuilder;
  readonly #needed: ReadonlySet<Value>;
  readonly #found = new Map<Value, Value>();

  constructor(b: GraphBuilder, needed: ReadonlySet<Value>) {
    this.#b = b;
    this.#needed = needed;
  }

  has(value: Value): boolean {
    return this.#found.has(value);
  }

  /** Whether a gradient would have to pass `value`, which is quantized. */
  blockedBy(value: Value): boolean {
    return value.quantization !== undefined && this.#needed.has(value);
  }

  /** What was added up for `value`; zeros when nothing was. */
  of(value: Value, map: (value: Value) => Value): Value {
    return this.#found.get(value) ?? affine(this.#b, map(value), { scale: 0 });
  }

  /** Adds one reader's part; Values that depend on no target are left out. */
  add(value: Value, part: Value): void {
    if (!this.#needed.has(value)) return;
    const fitting = cast(this.#b, part, value.dtype);
    const before = this.#found.get(value);
    this.#found.set(value, before ? add(this.#b, before, fitting) : fitting);
  }
}

/** Where the backward part starts: outputs with their gradients. */
function seeds(
  b: GraphBuilder,
  graph: Graph,
  map: (value: Value) => Value,
  options: DifferentiateOptions,
): [Value, Value][] {
  if ('loss' in options) {
    const value = outputNamed(graph, options.loss);
    if (value.shape.some((extent) => extent !== 1)) {
      throw new BookendError(
        'invalid-argument',
        `The loss ${options.loss} must have a single element; name outputs of other shapes as outputs.`,
      );
    }
    return [[value, affine(b, map(value), { scale: 0, offset: 1 })]];
  }
  return options.outputs.map((name) => {
    const value = outputNamed(graph, name);
    return [value, b.input(outputGradientName(name), value.dtype, value.shape)];
  });
}

/** Adds what `node` passes on to the gradients of its operands. */
function propagate(
  b: GraphBuilder,
  node: Node,
  map: (value: Value) => Value,
  gradients: Gradients,
): void {
  const inputs = Object.fromEntries(
    Object.entries(node.inputs).map(([name, value]) => [name, map(value)]),
  );
  const results = explaining(node, () => {
    const { vjp } = opDefinition(node.op);
    if (vjp === 'not-differentiable') {
      return unsupported(
        'It has no gradient rule; differentiate with respect to something behind it.',
      );
    }
    if ([...Object.values(node.inputs), ...node.outputs].some((x) => gradients.blockedBy(x))) {
      return unsupported('Rounding to codes has no gradient; differentiate before quantizing.');
    }
    const incoming = node.outputs.map((value) => gradients.of(value, map));
    return vjp(b, inputs, node.outputs.map(map), incoming, node.attributes);
  });
  for (const [name, value] of Object.entries(node.inputs)) {
    const gradient = results[name] as Value | undefined;
    if (gradient) gradients.add(value, gradient);
  }
}

/** Runs `rule`, naming `node` in its errors. */
function explaining<T>(node: Node, rule: () => T): T {
  try {
    return rule();
  } catch (error) {
    if (!(error instanceof BookendError)) throw error;
    const where = node.scope === '' ? '' : ` in ${node.scope}`;
    throw new BookendError(
      error.code,
      `No gradient of node ${node.id} (${node.op}${where}): ${error.message}`,
      { cause: error },
    );
  }
}

function unsupported(sentence: string): never {
  throw new BookendError('unsupported', sentence);
}

function outputNamed(graph: Graph, name: string): Value {
  if (Object.hasOwn(graph.outputs, name)) return floating(name, graph.outputs[name]);
  throw new BookendError(
    'invalid-argument',
    `${graph.name} has no output named ${name}; it has ${Object.keys(graph.outputs).join(', ')}.`,
  );
}

function sourceNamed(graph: Graph, name: string): Value {
  const parameter = graph.parameters.get(name);
  if (parameter) return floating(name, parameter);
  if (Object.hasOwn(graph.inputs, name)) return floating(name, graph.inputs[name]);
  throw new BookendError(
    'invalid-argument',
    `${graph.name} has no parameter or input named ${name}; check the name.`,
  );
}

function floating(name: string, value: Value): Value {
  if (isFloating(value.dtype)) return value;
  throw new BookendError(
    'invalid-argument',
    `${name} is ${value.dtype}, and only floating types have gradients; leave it out.`,
  );
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
