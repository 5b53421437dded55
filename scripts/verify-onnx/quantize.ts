import type { QuantizationParams } from '../../src/core/quantization-params.ts';
import { floats, type Tensor, tensor } from '../../src/core/tensor.ts';
import type { Graph, Value } from '../../src/ir/graph.ts';
import { layerInputs, layersOf } from '../../src/passes/layer-inputs.ts';
import {
  type LayerParams,
  quantizedNames,
  quantizeLayers,
} from '../../src/passes/quantize-layers.ts';
import { DEFAULT_QUANTIZATION, selectLayers } from '../../src/quantization/config.ts';
import { paramsOfRange } from '../../src/quantization/observers/code-range.ts';
import { quantizedWeights } from '../../src/quantization/quantized-weights.ts';
import type { WeightSource } from '../../src/runtime/backend.ts';
import { memoryWeights } from '../../src/runtime/memory-weights.ts';
import { referenceBackend } from '../../src/runtime/reference/reference-backend.ts';

export interface RunnableGraph {
  readonly graph: Graph;
  readonly weights: WeightSource;
  readonly inputs: Readonly<Record<string, Tensor>>;
}

/**
 * The INT8 form of a graph that is ready for inference: activation ranges are what one run shows,
 * weights are rounded to the nearest code. Plain, and good enough to compare two runtimes with.
 */
export async function quantizedForm({ graph, weights, inputs }: RunnableGraph) {
  const selected = selectLayers(graph, DEFAULT_QUANTIZATION).map(({ path }) => path);
  const readers = layerInputs(graph, selected);
  const layers = new Map<string, { x?: QuantizationParams; skip?: QuantizationParams }>();
  for (const [value, params] of await ranges({ graph, weights, inputs }, [...readers.keys()])) {
    for (const { layer, operand } of readers.get(value) ?? []) {
      layers.set(layer, { ...layers.get(layer), [operand]: params });
    }
  }
  const params = layers as ReadonlyMap<string, LayerParams>;
  const quantized = quantizeLayers(params).run(graph);
  const tensors = memoryWeights(await quantizedTensors(graph, weights, selected));
  const joined = quantizedWeights(weights, tensors, DEFAULT_QUANTIZATION, []);
  return { graph: quantized, weights: joined, inputs };
}

async function ranges(
  { graph, weights, inputs }: RunnableGraph,
  values: readonly Value[],
): Promise<Map<Value, QuantizationParams>> {
  const outputs = Object.fromEntries(values.map((value) => [`${value.id}`, value]));
  const executable = await referenceBackend.compile({ ...graph, outputs }, weights);
  const results = await executable.run(inputs);
  executable.dispose();
  return new Map(
    values.map((value) => {
      const data = floats(results[`${value.id}`]);
      const min = data.reduce((least, x) => Math.min(least, x), 0);
      const max = data.reduce((most, x) => Math.max(most, x), 0);
      return [value, paramsOfRange({ min, max }, 'affine')];
    }),
  );
}

async function quantizedTensors(
  graph: Graph,
  weights: WeightSource,
  selected: readonly string[],
): Promise<Map<string, Tensor>> {
  const tensors = new Map<string, Tensor>();
  const layers = layersOf(graph);
  for (const path of selected) {
    const names = quantizedNames(path);
    const { shape, ...weight } = await weights.read(`${path}.weight`);
    const data = floats({ shape, ...weight });
    const [outputs] = shape;
    const each = data.length / outputs;
    const codes = new Int8Array(data.length);
    const scales = new Float32Array(outputs);
    for (let o = 0; o < outputs; o++) {
      const row = data.subarray(o * each, (o + 1) * each);
      scales[o] = row.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-6) / 127;
      for (const [i, x] of row.entries()) codes[o * each + i] = Math.round(x / scales[o]);
    }
    const bias = layers.get(path)?.inputs.bias && (await weights.read(`${path}.bias`));
    tensors.set(names.weight, tensor('s8', shape, codes));
    tensors.set(names.scale, tensor('f32', [outputs], scales));
    const offsets = bias ? floats(bias) : new Float32Array(outputs);
    tensors.set(names.bias, tensor('f32', [outputs], offsets));
  }
  return tensors;
}
