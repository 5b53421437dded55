import { type Tensor, zeros } from '../../core/tensor.ts';
import { syntheticInputs } from '../../evaluation/benchmark.ts';
import { syntheticScale } from '../../evaluation/synthetic-weights.ts';
import type { Graph } from '../../ir/graph.ts';
import { inferencePasses, runPasses } from '../../passes/index.ts';
import { layersOf } from '../../passes/layer-inputs.ts';
import { quantizedNames } from '../../passes/quantize-layers.ts';
import { DEFAULT_QUANTIZATION, selectLayers } from '../../quantization/config.ts';
import { equalRanges, quantizedUNet } from '../../quantization/quantized-model.ts';
import { resolveIsa } from '../../runtime/native/cpu.ts';
import type { BatchSource } from '../../training/batches.ts';
import type { QuantizedParts } from '../quantize-unet.ts';

/** Covers what activations near 1 reach. */
const ANY_SCALE = { scale: 0.05, zeroPoint: 128 };

/** A quantized model to begin a training with, made of no calibration. */
export function syntheticStart(network: Graph): Pick<QuantizedParts, 'model' | 'tensors'> {
  const fused = runPasses(network, inferencePasses('f32'));
  const nodes = layersOf(fused);
  const paths = selectLayers(fused, DEFAULT_QUANTIZATION).map(({ path }) => path);
  const layers = new Map(
    paths.map((path) => [
      path,
      { x: ANY_SCALE, ...(nodes.get(path)!.inputs.skip && { skip: ANY_SCALE }) },
    ]),
  );
  const tensors = new Map<string, Tensor>();
  for (const path of paths) {
    const { shape } = network.parameters.get(`${path}.weight`)!;
    const scales = zeros('f32', shape.slice(0, 1));
    scales.data.fill(syntheticScale(shape));
    tensors.set(quantizedNames(path).scale, scales);
    tensors.set(quantizedNames(path).bias, zeros('f32', shape.slice(0, 1)));
  }
  const config = { ...DEFAULT_QUANTIZATION, buckets: 1 };
  const model = quantizedUNet({
    config,
    origin: {
      method: 'ptq',
      samples: 0,
      steps: 0,
      guidanceScale: 1,
      seed: 0,
      scheduler: 'ddim',
      isa: resolveIsa(),
    },
    trainTimesteps: 1000,
    buckets: equalRanges(1000, 1).map((range) => ({ ...range, layers })),
    reports: [],
  });
  return { model, tensors };
}

/** The same batch again and again. */
export function syntheticBatches(network: Graph): BatchSource {
  const { sample, encoderHiddenStates, timestep } = syntheticInputs(network);
  const batch = {
    timesteps: [...timestep.data],
    sample,
    target: sample,
    ...(encoderHiddenStates && { embeddings: encoderHiddenStates }),
  };
  const [, height, width, channels] = sample.shape;
  return {
    identity: 'synthetic',
    sampleShape: [height, width, channels],
    next: async () => batch,
    progress: () => ({ randoms: [] }),
    restore: () => undefined,
  };
}
