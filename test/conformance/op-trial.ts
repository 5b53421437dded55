import type { DType } from '../../src/core/dtype.ts';
import type { QuantizationParams } from '../../src/core/quantization-params.ts';
import type { Tensor } from '../../src/core/tensor.ts';
import type { Graph, Value } from '../../src/ir/graph.ts';
import { GraphBuilder } from '../../src/ir/graph-builder.ts';
import { interpret } from '../../src/runtime/reference/interpret.ts';
import { toNumeric } from '../../src/runtime/reference/reference-backend.ts';
import type { Expectation, Trial } from './problem.ts';

/** Declares the operands of a one-op graph from their data, and remembers the data. */
export class TrialBuilder {
  readonly b = new GraphBuilder('trial');
  readonly inputs: Record<string, Tensor> = {};
  readonly parameters = new Map<string, Tensor>();

  input(name: string, data: Tensor, quantization?: QuantizationParams): Value {
    this.inputs[name] = data;
    return this.b.input(name, data.dtype, data.shape, quantization);
  }

  parameter(path: string, data: Tensor): Value {
    this.parameters.set(path, data);
    return this.b.parameter(path, data.shape, data.dtype);
  }

  finish(out: Value): Omit<Trial, 'expectation'> {
    this.b.output('out', out);
    return { graph: this.b.finish(), inputs: this.inputs, parameters: this.parameters };
  }
}

/** What the graph's output is in exact arithmetic on the stored numbers. */
export async function exactOutput(trial: Omit<Trial, 'expectation'>): Promise<Float64Array> {
  const { graph, inputs, parameters } = trial;
  const sources = new Map<Value, Tensor>();
  for (const [name, value] of Object.entries(graph.inputs)) sources.set(value, inputs[name]);
  for (const [path, value] of graph.parameters) sources.set(value, parameters.get(path)!);
  const { out } = await interpret(graph, (value) =>
    toNumeric(sources.get(value)!, value.quantization),
  );
  return out.data;
}

/** Evaluates `build` exactly and allows `tolerance(expected value, its index)`. */
export async function makeTrial(
  build: (trial: TrialBuilder) => Value,
  tolerance: (expected: number, index: number, dtype: DType) => number,
): Promise<Trial> {
  const builder = new TrialBuilder();
  const trial = builder.finish(build(builder));
  const expected = await exactOutput(trial);
  const { dtype } = outputOf(trial.graph);
  const allowed = Float64Array.from(expected, (value, i) => tolerance(value, i, dtype));
  const expectation: Expectation = { expected, allowed };
  return { ...trial, expectation };
}

function outputOf(graph: Graph): Value {
  return graph.outputs.out;
}
