import { floats, type Tensor, tensor } from '../../src/core/tensor.ts';
import type { Graph, Value } from '../../src/ir/graph.ts';
import type { NumericArray } from '../../src/ir/op.ts';
import { graphParameters } from '../../src/models/parameters.ts';
import { hashedInput, hashedWeights } from '../../src/models/random-weights.ts';
import { buildUNet2DConditionModel } from '../../src/models/unet-2d-condition.ts';
import { parseUNet2DConditionConfig } from '../../src/models/unet-2d-condition-config.ts';
import { inferencePasses, runPasses } from '../../src/passes/index.ts';
import {
  Calibration,
  observedInputs,
  observeLayerInputs,
} from '../../src/quantization/calibration.ts';
import { DEFAULT_QUANTIZATION, selectLayers } from '../../src/quantization/config.ts';
import {
  layerParams,
  quantizeInputs,
  quantizeLayer,
} from '../../src/quantization/quantize-layer.ts';
import {
  equalRanges,
  type QuantizedUNet,
  quantizedUNet,
} from '../../src/quantization/quantized-model.ts';
import { interpret } from '../../src/runtime/reference/interpret.ts';
import { referenceBackend, toNumeric } from '../../src/runtime/reference/reference-backend.ts';

export const TIMESTEPS = [100, 900];

const CONFIG = parseUNet2DConditionConfig({
  block_out_channels: [8, 16],
  down_block_types: ['CrossAttnDownBlock2D', 'DownBlock2D'],
  up_block_types: ['UpBlock2D', 'CrossAttnUpBlock2D'],
  layers_per_block: 1,
  attention_head_dim: 2,
  norm_num_groups: 4,
  cross_attention_dim: 8,
});

/** A U-Net of two levels with attention on the outer one, of random weights. */
export function tinyUNet(batch: number): Graph {
  return buildUNet2DConditionModel(CONFIG, { batch, height: 4, width: 4, tokens: 3 });
}

/** Random inputs, the first sample being the same for every batch. */
export function tinyInputs(graph: Graph, timesteps: readonly number[]): Record<string, Tensor> {
  const inputs: Record<string, Tensor> = {};
  for (const name of ['sample', 'encoderHiddenStates']) {
    inputs[name] = hashedInput(name, graph.inputs[name].shape);
  }
  inputs.timestep = tensor('f32', [timesteps.length], Float32Array.from(timesteps));
  return inputs;
}

export interface TinyQuantized {
  readonly model: QuantizedUNet;
  /** Original names and quantized ones. */
  readonly tensors: Map<string, Tensor>;
}

/** The tiny U-Net after training-free quantization, calibrated on one input in each of two buckets. */
export async function quantizedTinyUNet(): Promise<TinyQuantized> {
  const graph = runPasses(tinyUNet(1), inferencePasses('f32'));
  const config = { ...DEFAULT_QUANTIZATION, buckets: TIMESTEPS.length };
  const layers = selectLayers(graph, config);
  const names = layers.map(({ path }) => path);
  const calibration = new Calibration(observedInputs(graph, names), {
    buckets: TIMESTEPS.length,
    trainTimesteps: 1000,
    momentum: 0.1,
  });
  const weights = hashedWeights(graphParameters(graph));
  const observed = await referenceBackend.compile(observeLayerInputs(names).run(graph), weights);
  for (const timestep of TIMESTEPS) {
    calibration.add(timestep, await observed.run(tinyInputs(graph, [timestep])));
  }
  const inputs = quantizeInputs(calibration, config);
  const tensors = new Map<string, Tensor>();
  for (const path of weights.names()) tensors.set(path, await weights.read(path));
  const reports = layers.map((layer) => {
    const { path } = layer;
    const weight = tensors.get(`${path}.weight`)!;
    const result = quantizeLayer(layer, weight, tensors.get(`${path}.bias`), inputs, config);
    for (const [name, value] of result.tensors) tensors.set(name, value);
    return { path, weightSqnr: result.weightSqnr, inputSqnr: result.inputSqnr };
  });
  const ranges = equalRanges(1000, config.buckets);
  const model = quantizedUNet({
    config,
    origin: {
      method: 'ptq',
      samples: 1,
      steps: TIMESTEPS.length,
      guidanceScale: 1,
      seed: 0,
      scheduler: 'ddim',
      isa: 'scalar',
    },
    trainTimesteps: 1000,
    buckets: ranges.map((range, i) => ({ ...range, layers: layerParams(layers, inputs, i) })),
    reports,
  });
  return { model, tensors };
}

/** Evaluates in float64, without rounding. */
export function evaluate(
  graph: Graph,
  sources: Readonly<Record<string, Tensor>>,
  tensors: ReadonlyMap<string, Tensor>,
): Promise<Record<string, NumericArray>> {
  const values = new Map<Value, NumericArray>();
  for (const [name, value] of Object.entries(graph.inputs)) {
    values.set(value, toNumeric(sources[name]));
  }
  for (const [name, value] of graph.parameters) values.set(value, toNumeric(tensors.get(name)!));
  return interpret(graph, (value) => values.get(value)!);
}

/** `source` with every number moved by up to `amount` of itself. */
export function perturbed(source: Tensor, amount: number): Tensor {
  const values = floats(source).map((x, i) => x * (1 + amount * Math.sin(12.9898 * i + 1)));
  return tensor('f32', source.shape, values);
}
