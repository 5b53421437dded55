import type { Tensor } from '../../src/core/tensor.ts';
import type { Value } from '../../src/ir/graph.ts';
import { GraphBuilder } from '../../src/ir/graph-builder.ts';
import { referenceBackend } from '../../src/runtime/reference/reference-backend.ts';
import type { RunnableGraph } from './quantize.ts';

/**
 * A graph of the same nodes that do not read one another: what each reads is an input, with the
 * numbers that the reference interpreter, rounding to stored types, has there. So no difference in
 * one node carries over to the next.
 */
export async function nodesApart({
  graph,
  weights,
  inputs,
}: RunnableGraph): Promise<RunnableGraph> {
  const everything = graph.nodes.flatMap(({ outputs }) => outputs);
  const outputs = Object.fromEntries(everything.map((value) => [`${value.id}`, value]));
  const executable = await referenceBackend.compile({ ...graph, outputs }, weights, {
    roundToDType: true,
  });
  const results = await executable.run(inputs);
  executable.dispose();
  for (const [name, value] of Object.entries(graph.inputs)) results[`${value.id}`] = inputs[name];

  const b = new GraphBuilder(`${graph.name}.apart`);
  const mapped = new Map<Value, Value>();
  const given: Record<string, Tensor> = {};
  for (const [path, value] of graph.parameters) {
    mapped.set(value, b.parameter(path, value.shape, value.dtype));
  }
  const read = (value: Value): Value => {
    const known = mapped.get(value);
    if (known) return known;
    const name = `read.${value.id}`;
    given[name] = results[`${value.id}`];
    const input = b.input(name, value.dtype, value.shape, value.quantization);
    mapped.set(value, input);
    return input;
  };
  for (const node of graph.nodes) {
    const operands = Object.entries(node.inputs).map(([name, value]) => [name, read(value)]);
    const made = b.withScope(node.scope, () =>
      b.applyAny(node.op, Object.fromEntries(operands), node.attributes),
    );
    for (const value of made) b.output(`made.${node.outputs[value.index].id}`, value);
  }
  return { graph: b.finish(), weights, inputs: given };
}
