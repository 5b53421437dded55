import { type Tensor, tensor } from '../../core/tensor.ts';
import type { Graph } from '../../ir/graph.ts';
import { type ConvertedUNet, convert } from '../../quantization/qat/convert.ts';
import type { MovingRangeSettings } from '../../quantization/qat/moving-ranges.ts';
import { type PreparedGraph, prepare } from '../../quantization/qat/prepare.ts';
import type { QuantizedUNet } from '../../quantization/quantized-model.ts';
import type { WeightSource } from '../../runtime/backend.ts';
import type { NamedArrays } from '../../training/named-arrays.ts';
import type { TrainingOptions } from '../../training/training-options.ts';
import type { QuantizedParts } from '../quantize-unet.ts';
import {
  heldScales,
  learnedScales,
  movingScales,
  type ScaleLearner,
  type ScaleLearning,
} from './scale-learning.ts';
import type { Student } from './unet-task.ts';

/** A fake-quantized U-Net in training, and the quantized one that it stands for. */
export interface QuantizedStudent extends Student {
  /** The quantized U-Net of trained parameters. @throws BookendError as `convert` does */
  convert(trained: NamedArrays): Promise<ConvertedUNet>;
}

/**
 * @param network as it is built, of the size of a batch
 * @param original the U-Net's own tensors
 * @param start what training begins with
 */
export async function quantizedStudent(
  network: Graph,
  original: WeightSource,
  start: Pick<QuantizedParts, 'model' | 'tensors'>,
  learning: ScaleLearning,
  training: Pick<TrainingOptions, 'steps'>,
): Promise<QuantizedStudent> {
  const { model, tensors } = start;
  const ranges = learning.kind === 'moving' ? 'observed' : 'held';
  const prepared = prepare(network, startingLayers(model), { ranges });
  const weights = weightsWith(original, tensors);
  const scales = await scaleLearner(prepared, model, weights, learning, training);
  return {
    network: prepared.graph,
    weights,
    trainable: prepared.weights,
    scales,
    async convert(trained) {
      scales.apply(trained);
      const arrays = new Map([...trained, ...scales.inPlace]);
      return convert(model, scales.activations, (name) => readTrained(name, arrays, weights));
    },
  };
}

async function scaleLearner(
  prepared: PreparedGraph,
  model: QuantizedUNet,
  weights: WeightSource,
  learning: ScaleLearning,
  training: Pick<TrainingOptions, 'steps'>,
): Promise<ScaleLearner> {
  switch (learning.kind) {
    case 'held':
      return heldScales(prepared, model);
    case 'moving':
      return movingScales(prepared, model, movingSettings(learning, training));
    case 'learned':
      return learnedScales(prepared, model, weights, learning.rate);
  }
}

/** The layers are the same in every bucket. */
function startingLayers({ buckets }: QuantizedUNet) {
  return buckets[0]?.layers ?? new Map();
}

/** Ranges hardly move, for they begin where calibration put them, and rest for the second half. */
function movingSettings(
  { momentum = 0.01, freezeStep }: Partial<MovingRangeSettings>,
  { steps }: Pick<TrainingOptions, 'steps'>,
): MovingRangeSettings {
  return { momentum, freezeStep: freezeStep ?? Math.ceil(steps / 2) };
}

/** The tensors in memory before those of `original`. */
function weightsWith(original: WeightSource, tensors: ReadonlyMap<string, Tensor>): WeightSource {
  return {
    names: () => new Set([...original.names(), ...tensors.keys()]),
    info: (path) => tensors.get(path) ?? original.info(path),
    read: async (path) => tensors.get(path) ?? original.read(path),
    locate: (path) => (tensors.has(path) ? undefined : original.locate?.(path)),
  };
}

async function readTrained(
  name: string,
  trained: NamedArrays,
  weights: WeightSource,
): Promise<Tensor> {
  const values = trained.get(name);
  if (!values) return weights.read(name);
  return tensor('f32', weights.info(name)!.shape, values as Float32Array<ArrayBuffer>);
}
