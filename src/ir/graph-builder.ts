import type { DType } from '../core/dtype.ts';
import { BookendError } from '../core/errors.ts';
import type { QuantizationParams } from '../core/quantization-params.ts';
import { elementCount, formatShape, type Shape, sameShape } from '../core/shape.ts';
import type { Attributes, Graph, Node, NodeInputs, TensorType, Value } from './graph.ts';
import { reject } from './op.ts';
import { type AttributesOf, type InputsOf, inferNode, type OpName } from './op-table.ts';
import { verify } from './verify.ts';

/** Builds a Graph node by node; types are inferred, and wrong operands refused, at once. */
export class GraphBuilder {
  readonly #name: string;
  readonly #inputs: Record<string, Value> = {};
  readonly #parameters = new Map<string, Value>();
  readonly #nodes: Node[] = [];
  readonly #outputs: Record<string, Value> = {};
  #scope = '';
  #nextValue = 0;

  constructor(name: string) {
    this.#name = name;
  }

  /** The path prefix in force, '' at the top. */
  get currentScope(): string {
    return this.#scope;
  }

  /** Declares a graph input; its name must be new. A u8 input needs its quantization. */
  input(name: string, dtype: DType, shape: Shape, quantization?: QuantizationParams): Value {
    if (name in this.#inputs) {
      reject(`The graph already has an input named ${name}; name each input once.`);
    }
    const value = this.#source({ dtype, shape, quantization }, `input ${name}`);
    this.#inputs[name] = value;
    return value;
  }

  /**
   * A parameter, by its path in the checkpoint relative to the scope in force. The same path twice
   * gives the same Value; its type must then agree.
   */
  parameter(path: string, shape: Shape, dtype: DType = 'f32'): Value {
    const full = this.#scope === '' ? path : `${this.#scope}.${path}`;
    const known = this.#parameters.get(full);
    if (known) {
      if (known.dtype === dtype && sameShape(known.shape, shape)) return known;
      reject(
        `Parameter ${full} was declared as ${known.dtype}${formatShape(known.shape)} and is asked for as ${dtype}${formatShape(shape)}; use one type.`,
      );
    }
    const value = this.#source({ dtype, shape }, `parameter ${full}`);
    this.#parameters.set(full, value);
    return value;
  }

  /** Adds a node and returns its outputs; throws `invalid-graph`, naming op and scope. */
  apply<K extends OpName>(op: K, inputs: InputsOf<K>, attributes: AttributesOf<K>): Value[] {
    return this.applyAny(op, inputs, attributes);
  }

  /** `apply` for an op known only at run time, as when a pass copies nodes. */
  applyAny(op: OpName, inputs: NodeInputs, attributes: Attributes): Value[] {
    const present: Record<string, Value> = {};
    for (const [name, value] of Object.entries<Value | undefined>(inputs)) {
      if (value) present[name] = value;
    }
    const types = this.#infer(op, present, attributes);
    const outputs: Value[] = [];
    const node: Node = {
      id: this.#nodes.length,
      op,
      inputs: present,
      attributes,
      outputs,
      scope: this.#scope,
    };
    for (const [index, type] of types.entries()) {
      outputs.push({ ...type, id: this.#nextValue++, node, index });
    }
    this.#nodes.push(node);
    return outputs;
  }

  /** Runs `body` with `prefix` joined to the scope by a dot; '' leaves the scope as it is. */
  scope<T>(prefix: string, body: () => T): T {
    const outer = this.#scope;
    return this.withScope(outer && prefix ? `${outer}.${prefix}` : outer || prefix, body);
  }

  /** Runs `body` with `scope` in place of the scope in force. */
  withScope<T>(scope: string, body: () => T): T {
    const outer = this.#scope;
    this.#scope = scope;
    try {
      return body();
    } finally {
      this.#scope = outer;
    }
  }

  /** Declares a graph output; its name must be new. */
  output(name: string, value: Value): void {
    if (name in this.#outputs) {
      reject(`The graph already has an output named ${name}; name each output once.`);
    }
    this.#outputs[name] = value;
  }

  /** The graph, verified. */
  finish(): Graph {
    const graph: Graph = {
      name: this.#name,
      inputs: this.#inputs,
      parameters: this.#parameters,
      nodes: this.#nodes,
      outputs: this.#outputs,
    };
    verify(graph);
    return graph;
  }

  #source(type: TensorType, what: string): Value {
    if (elementCount(type.shape) === 0) {
      reject(
        `The ${what} has the empty shape ${formatShape(type.shape)}; use extents of at least 1.`,
      );
    }
    const { dtype, shape, quantization } = type;
    const quantized = quantization && { quantization };
    return {
      id: this.#nextValue++,
      dtype,
      shape: [...shape],
      ...quantized,
      node: undefined,
      index: 0,
    };
  }

  #infer(op: OpName, inputs: NodeInputs, attributes: Attributes): readonly TensorType[] {
    try {
      return inferNode(op, inputs, attributes);
    } catch (error) {
      if (!(error instanceof BookendError)) throw error;
      const where = `${this.#name}${this.#scope ? `.${this.#scope}` : ''}`;
      throw new BookendError(error.code, `${op} in ${where}: ${error.message}`, { cause: error });
    }
  }
}
