import { formatShape } from '../core/shape.ts';
import type { AttributeValue, Graph, Node, TensorType, Value } from './graph.ts';
import { operandsOf } from './op-table.ts';

/**
 * The graph as text, one line a node, for reading and for golden files. Values are numbered in order
 * of appearance ('%0'), inputs are '$name' and parameters '@path', so that the text depends on the
 * graph's structure alone.
 */
export function print(graph: Graph): string {
  const names = new Map<Value, string>();
  for (const [name, value] of Object.entries(graph.inputs)) names.set(value, `$${name}`);
  for (const [path, value] of graph.parameters) names.set(value, `@${path}`);
  let count = 0;
  for (const node of graph.nodes) {
    for (const value of node.outputs) names.set(value, `%${count++}`);
  }
  const nameOf = (value: Value) => names.get(value) ?? '?';
  const lines = [`graph ${graph.name}`];
  for (const value of [...Object.values(graph.inputs), ...graph.parameters.values()]) {
    lines.push(`${nameOf(value)}: ${formatType(value)}`);
  }
  for (const node of graph.nodes) lines.push(printNode(node, nameOf));
  for (const [name, value] of Object.entries(graph.outputs)) {
    lines.push(`return ${name}=${nameOf(value)}`);
  }
  return `${lines.join('\n')}\n`;
}

function printNode(node: Node, nameOf: (value: Value) => string): string {
  const outputs = node.outputs.map((value) => `${nameOf(value)}: ${formatType(value)}`).join(', ');
  const operands = operandsOf(node).map(([name, value]) => `${name}=${nameOf(value)}`);
  const present = Object.entries(node.attributes).filter(([, value]) => value !== undefined);
  const attributes = present.map(([k, v]) => `${k}=${formatAttribute(v)}`);
  const suffix = attributes.length > 0 ? ` {${attributes.join(', ')}}` : '';
  const comment = node.scope === '' ? '' : ` # ${node.scope}`;
  return `${outputs} = ${node.op}(${operands.join(', ')})${suffix}${comment}`;
}

function formatType({ dtype, shape, quantization }: TensorType): string {
  const params = quantization ? `(${quantization.scale},${quantization.zeroPoint})` : '';
  return `${dtype}${params}${formatShape(shape).replaceAll(' ', '')}`;
}

function formatAttribute(value: AttributeValue): string {
  return typeof value === 'object' ? formatShape(value).replaceAll(' ', '') : String(value);
}
