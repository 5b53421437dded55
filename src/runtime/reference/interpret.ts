import { setImmediate } from 'node:timers/promises';
import { type DType, fromBf16, fromF16, toBf16, toF16 } from '../../core/dtype.ts';
import { throwIfAborted } from '../../core/errors.ts';
import { dequantizeCode, quantizeToCode } from '../../core/quantization-params.ts';
import { countUses, type Graph, type Node, type TensorType, type Value } from '../../ir/graph.ts';
import type { NumericArray } from '../../ir/op.ts';
import { opDefinition } from '../../ir/op-table.ts';

export interface InterpretOptions {
  /**
   * Rounds every value to its storage type, and so simulates, say, a bf16 or an int8 graph whose
   * kernels compute exactly. By default nothing is rounded: dtypes have no effect.
   */
  readonly roundToDType?: boolean;
  readonly signal?: AbortSignal;
}

/**
 * Evaluates `graph` node by node in float64. `sourceOf` gives the numbers of inputs and parameters.
 * Values are freed after their last use; the event loop gets a turn after every node.
 */
export async function interpret(
  graph: Graph,
  sourceOf: (value: Value) => NumericArray,
  { roundToDType = false, signal }: InterpretOptions = {},
): Promise<Record<string, NumericArray>> {
  const round = (array: NumericArray, type: TensorType) =>
    roundToDType ? roundArray(array, type) : array;
  const live = new Map<Value, NumericArray>();
  const read = (value: Value) => live.get(value) ?? round(sourceOf(value), value);
  const remaining = new Map(countUses(graph));
  const release = (value: Value) => {
    const uses = (remaining.get(value) ?? 0) - 1;
    remaining.set(value, uses);
    if (uses <= 0) live.delete(value);
  };
  for (const node of graph.nodes) {
    throwIfAborted(signal);
    const results = evaluateNode(node, read);
    for (const [i, output] of node.outputs.entries()) {
      if (remaining.has(output)) live.set(output, round(results[i], output));
    }
    for (const value of Object.values(node.inputs)) release(value);
    await setImmediate();
  }
  const outputs: Record<string, NumericArray> = {};
  for (const [name, value] of Object.entries(graph.outputs)) outputs[name] = read(value);
  return outputs;
}

/** Evaluates one node in float64. */
export function evaluateNode(
  node: Node,
  read: (value: Value) => NumericArray,
): readonly NumericArray[] {
  const arrays: Record<string, NumericArray> = {};
  for (const [name, value] of Object.entries(node.inputs)) arrays[name] = read(value);
  const results = opDefinition(node.op).evaluate(arrays, node.attributes, node.outputs);
  return results.map((data, i) => ({ shape: node.outputs[i].shape, data }));
}

const ROUNDING: Partial<Record<DType, (value: number) => number>> = {
  f32: Math.fround,
  bf16: (value) => fromBf16(toBf16(value)),
  f16: (value) => fromF16(toF16(value)),
};

/** The numbers as `type` stores them, quantized ones included; integers are whole already. */
export function roundArray(
  array: NumericArray,
  { dtype, quantization }: Pick<TensorType, 'dtype' | 'quantization'>,
): NumericArray {
  const rounding = quantization
    ? (x: number) => dequantizeCode(quantizeToCode(x, quantization), quantization)
    : ROUNDING[dtype];
  return rounding ? { shape: array.shape, data: array.data.map(rounding) } : array;
}
