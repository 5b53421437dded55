import { BookendError } from '../../core/errors.ts';
import type { QuantizationParams } from '../../core/quantization-params.ts';
import { f32, type Tensor } from '../../core/tensor.ts';
import type { LayerParams } from '../../passes/quantize-layers.ts';
import type { QuantizedUNet } from '../quantized-model.ts';
import { type FakeQuantizedInput, fakeQuantizationNames } from './prepare.ts';

/** Scales and zero points of activations while they change: moving averages or learned ones. */
export interface ActivationParams {
  readonly inputs: readonly FakeQuantizedInput[];
  /** Of `inputs[input]` in that timestep bucket. */
  params(input: number, bucket: number): QuantizationParams;
  /** All there is to store, and to go on from; f32, by name. */
  tensors(): ReadonlyMap<string, Tensor>;
}

/** What a prepared graph is given beside its other inputs, for samples of these buckets. */
export function activationOperands(
  state: ActivationParams,
  buckets: readonly number[],
): Record<string, Tensor> {
  const operands: Record<string, Tensor> = {};
  for (const [i, input] of state.inputs.entries()) {
    const params = bucketsOf(input, buckets).map((bucket) => state.params(i, bucket));
    const names = fakeQuantizationNames(input.name);
    operands[names.scale] = f32(
      [input.samples],
      params.map(({ scale }) => scale),
    );
    operands[names.zero] = f32(
      [input.samples],
      params.map(({ zeroPoint }) => zeroPoint),
    );
  }
  return operands;
}

/** @throws BookendError `invalid-argument` unless there is a bucket for each sample */
export function bucketsOf(
  { name, samples }: FakeQuantizedInput,
  buckets: readonly number[],
): readonly number[] {
  if (buckets.length === samples) return buckets;
  throw new BookendError(
    'invalid-argument',
    `The input ${name} has ${samples} samples and ${buckets.length} timesteps were given; give one for each.`,
  );
}

/** The scales of every layer in one bucket, as a quantized model has them. */
export function trainedLayerParams(
  state: ActivationParams,
  bucket: number,
): ReadonlyMap<string, LayerParams> {
  const layers = new Map<string, { x?: QuantizationParams; skip?: QuantizationParams }>();
  for (const [i, { readers }] of state.inputs.entries()) {
    const params = state.params(i, bucket);
    for (const { layer, operand } of readers) {
      layers.set(layer, { ...layers.get(layer), [operand]: params });
    }
  }
  return layers as ReadonlyMap<string, LayerParams>;
}

/** How the quantized model that training starts from quantizes an input in each bucket. */
export function startingParams(
  { buckets }: Pick<QuantizedUNet, 'buckets'>,
  { readers }: FakeQuantizedInput,
): readonly QuantizationParams[] {
  const [{ layer, operand }] = readers;
  return buckets.map(({ layers }, i) => {
    const params = layers.get(layer)?.[operand];
    if (params) return params;
    throw new BookendError(
      'invalid-argument',
      `The quantized model has no scale for the input ${operand} of ${layer} in bucket ${i}; quantize this model again.`,
    );
  });
}
