import { BookendError } from '../core/errors.ts';
import { formatShape } from '../core/shape.ts';
import { type Graph, type Node, sameType, type TensorType, type Value } from './graph.ts';
import { inferNode, operandsOf } from './op-table.ts';

/**
 * Checks that `graph` is well formed: every operand is defined before it is read and belongs to this
 * graph, every node's types are those its op infers, ids are unique, outputs exist. Throws
 * `invalid-graph`, naming the node and its scope.
 */
export function verify(graph: Graph): void {
  const defined = new Set<Value>();
  const ids = new Set<number>();
  const define = (value: Value, what: string) => {
    if (defined.has(value) || ids.has(value.id)) {
      fail(graph, `${what} reuses the value %${value.id}; every value must be defined once`);
    }
    if ((value.dtype === 'u8') !== (value.quantization !== undefined)) {
      fail(
        graph,
        `${what} is ${value.dtype}; u8 values, and no others, have a scale and a zero point`,
      );
    }
    defined.add(value);
    ids.add(value.id);
  };
  for (const [name, value] of Object.entries(graph.inputs)) define(value, `Input ${name}`);
  for (const [path, value] of graph.parameters) define(value, `Parameter ${path}`);
  const nodeIds = new Set<number>();
  for (const node of graph.nodes) {
    if (nodeIds.has(node.id)) {
      fail(graph, `${describe(node)} shares its id with another node; every id must be unique`);
    }
    nodeIds.add(node.id);
    verifyNode(graph, node, defined);
    for (const value of node.outputs) define(value, describe(node));
  }
  if (Object.keys(graph.outputs).length === 0) {
    fail(graph, 'There is no output; declare at least one');
  }
  for (const [name, value] of Object.entries(graph.outputs)) {
    if (!defined.has(value)) {
      fail(graph, `Output ${name} is the value %${value.id}, which nothing in this graph defines`);
    }
  }
}

function verifyNode(graph: Graph, node: Node, defined: ReadonlySet<Value>): void {
  for (const [name, value] of operandsOf(node)) {
    if (!defined.has(value)) {
      fail(
        graph,
        `${describe(node)} reads %${value.id} as ${name} before anything in this graph defines it`,
      );
    }
  }
  const inferred = inferTypes(graph, node);
  const agree =
    inferred.length === node.outputs.length &&
    node.outputs.every(
      (value, i) => value.node === node && value.index === i && sameType(value, inferred[i]),
    );
  if (!agree) {
    fail(
      graph,
      `${describe(node)} has the outputs ${node.outputs.map(formatType).join(', ')}, but its operands give ${inferred.map(formatType).join(', ')}`,
    );
  }
}

function inferTypes(graph: Graph, node: Node): readonly TensorType[] {
  try {
    return inferNode(node.op, node.inputs, node.attributes);
  } catch (error) {
    if (!(error instanceof BookendError)) throw error;
    return fail(graph, `${describe(node)} is malformed: ${error.message.replace(/\.$/, '')}`);
  }
}

function formatType(type: TensorType): string {
  const { dtype, shape, quantization } = type;
  const params = quantization ? `(${quantization.scale}, ${quantization.zeroPoint})` : '';
  return `${dtype}${params}${formatShape(shape)}`;
}

function describe(node: Node): string {
  return `Node ${node.id} (${node.op}${node.scope ? ` in ${node.scope}` : ''})`;
}

function fail(graph: Graph, sentence: string): never {
  throw new BookendError('invalid-graph', `Graph ${graph.name}: ${sentence}.`);
}
