import { allocate, encodeFloats } from '../../core/dtype.ts';
import { BookendError } from '../../core/errors.ts';
import {
  dequantizeCode,
  type QuantizationParams,
  quantizeToCode,
} from '../../core/quantization-params.ts';
import { floats, type Tensor } from '../../core/tensor.ts';
import type { Graph, TensorType, Value } from '../../ir/graph.ts';
import type { NumericArray } from '../../ir/op.ts';
import { isFloating } from '../../ir/ops/rules.ts';
import type { Backend, Executable, RunOptions, WeightSource } from '../backend.ts';
import { checkInputs, checkWeights } from '../check-tensors.ts';
import { type InterpretOptions, interpret } from './interpret.ts';

export type ReferenceOptions = Pick<InterpretOptions, 'roundToDType'>;

/** Slow and readable: plain loops in float64, the truth that kernels are compared to. */
export const referenceBackend: Backend<ReferenceOptions> = {
  name: 'reference',
  async compile(graph, weights, options = {}): Promise<Executable> {
    checkWeights(graph, weights);
    const parameters = await readParameters(graph, weights);
    let disposed = false;
    return {
      async run(inputs: Readonly<Record<string, Tensor>>, { signal }: RunOptions = {}) {
        if (disposed) {
          throw new BookendError(
            'invalid-argument',
            `${graph.name} was disposed of and cannot run; compile it again.`,
          );
        }
        checkInputs(graph, inputs);
        const sources = new Map(parameters);
        for (const [name, value] of Object.entries(graph.inputs)) {
          sources.set(value, toNumeric(inputs[name], value.quantization));
        }
        const sourceOf = (value: Value) => sources.get(value)!;
        const results = await interpret(graph, sourceOf, { ...options, signal });
        return Object.fromEntries(
          Object.entries(results).map(([name, array]) => [
            name,
            toTensor(array, graph.outputs[name]),
          ]),
        );
      },
      dispose() {
        disposed = true;
        parameters.clear();
      },
    };
  },
};

async function readParameters(
  graph: Graph,
  weights: WeightSource,
): Promise<Map<Value, NumericArray>> {
  const parameters = new Map<Value, NumericArray>();
  for (const [path, value] of graph.parameters) {
    parameters.set(value, toNumeric(await weights.read(path)));
  }
  return parameters;
}

/** The numbers of a tensor of any dtype, as float64; of codes, what they stand for. */
export function toNumeric(source: Tensor, quantization?: QuantizationParams): NumericArray {
  const { dtype, shape } = source;
  const data = Float64Array.from(isFloating(dtype) ? floats(source) : source.data);
  if (!quantization) return { shape, data };
  return { shape, data: data.map((code) => dequantizeCode(code, quantization)) };
}

/** Stores float64 numbers as a tensor of that type. */
export function toTensor(array: NumericArray, { dtype, shape, quantization }: TensorType): Tensor {
  if (quantization) {
    const codes = Uint8Array.from(array.data, (x) => quantizeToCode(x, quantization));
    return { dtype, shape, data: codes };
  }
  if (isFloating(dtype)) return { dtype, shape, data: encodeFloats(dtype, array.data) };
  const data = allocate(dtype, array.data.length);
  data.set(array.data);
  return { dtype, shape, data };
}
