import type { QuantizationParams } from '../core/quantization-params.ts';
import { floats, type Tensor, tensor } from '../core/tensor.ts';
import type { LayerInput } from '../passes/layer-inputs.ts';
import { type LayerParams, quantizedNames } from '../passes/quantize-layers.ts';
import { correctedBias, tapShares, weightSqnr } from './bias-correction.ts';
import type { Calibration } from './calibration.ts';
import { isWeightOnly, type QuantizationConfig, type SelectedLayer } from './config.ts';
import { chooseParams } from './observers/clipping-range.ts';
import { expectedError, expectedSquaredError } from './observers/expected-error.ts';
import { distributionOf } from './observers/histogram.ts';
import { momentsOf, type TensorStatistics } from './observers/statistics.ts';
import { zeroName } from './quantized-weights.ts';
import { dequantizeWeight } from './weight-codes.ts';
import { quantizeWeight } from './weight-rounding.ts';

/** How one tensor is quantized, and what that does to it. */
export interface QuantizedInput {
  readonly readers: readonly LayerInput[];
  /** By bucket; none when only the weights are quantized. */
  readonly params: readonly QuantizationParams[];
  readonly means: Float64Array;
  readonly meanSquares: Float64Array;
  /** The mean of x − x̂ over all channels: which of them clipping hits, the statistics do not say. */
  readonly meanError: number;
  /** Signal to quantization noise in dB, the worst bucket's; Infinity without quantization. */
  readonly sqnr: number;
}

/** Chooses the codes of every observed input in every bucket. */
export function quantizeInputs(
  calibration: Calibration,
  config: QuantizationConfig,
): readonly QuantizedInput[] {
  const { activations, observer } = config;
  return calibration.inputs.map(({ readers }, i) => {
    const statistics = calibration.of(i);
    const moments = momentsOf(statistics);
    if (!activations) {
      return { readers, params: [], ...moments, meanError: 0, sqnr: Number.POSITIVE_INFINITY };
    }
    const params = statistics.map((bucket) => chooseParams(bucket, observer, activations.scheme));
    return { readers, params, ...moments, ...errorsOf(statistics, params) };
  });
}

function errorsOf(statistics: readonly TensorStatistics[], params: readonly QuantizationParams[]) {
  let sum = 0;
  let count = 0;
  let sqnr = Number.POSITIVE_INFINITY;
  for (const [bucket, one] of statistics.entries()) {
    const [min, max] = one.extremes;
    const distribution = distributionOf(one.counts, { min, max });
    sum += distribution.total * expectedError(distribution, params[bucket]);
    count += distribution.total;
    const noise = expectedSquaredError(distribution, params[bucket]);
    const power = one.squares.reduce((total, square) => total + square, 0) / distribution.total;
    if (noise > 0) sqnr = Math.min(sqnr, 10 * Math.log10(power / noise));
  }
  return { meanError: sum / count, sqnr };
}

/** The scales of every layer in one bucket. */
export function layerParams(
  layers: readonly SelectedLayer[],
  inputs: readonly QuantizedInput[],
  bucket: number,
): ReadonlyMap<string, LayerParams> {
  return new Map(
    layers.map(({ path, node }) => {
      const params = (operand: LayerInput['operand']) =>
        inputOf(inputs, path, operand).params[bucket];
      return [path, { x: params('x'), ...(node.inputs.skip && { skip: params('skip') }) }];
    }),
  );
}

function inputOf(
  inputs: readonly QuantizedInput[],
  layer: string,
  operand: LayerInput['operand'],
): QuantizedInput {
  const found = inputs.find(({ readers }) =>
    readers.some((reader) => reader.layer === layer && reader.operand === operand),
  );
  if (!found) throw new RangeError(`The input ${operand} of ${layer} was not observed.`);
  return found;
}

export interface QuantizedLayer {
  readonly tensors: readonly (readonly [string, Tensor])[];
  /** Signal to quantization noise of the weight in dB. */
  readonly weightSqnr: number;
  /** The same of the worst of its inputs. */
  readonly inputSqnr: number;
}

/** Quantizes a layer's weight and corrects its bias; `bias` is undefined where it has none. */
export function quantizeLayer(
  { path, node }: SelectedLayer,
  weight: Tensor,
  bias: Tensor | undefined,
  inputs: readonly QuantizedInput[],
  config: QuantizationConfig,
): QuantizedLayer {
  const sources = [inputOf(inputs, path, 'x')];
  if (node.inputs.skip) sources.push(inputOf(inputs, path, 'skip'));
  const joined = (of: (source: QuantizedInput) => Float64Array) =>
    Float64Array.from(sources.flatMap((source) => [...of(source)]));
  const means = joined((source) => source.means);
  const meanSquares = joined((source) => source.meanSquares);
  const codes = quantizeWeight(weight, { means, meanSquares }, config);
  const rounded = dequantizeWeight(codes);
  const names = quantizedNames(path);
  const tensors: [string, Tensor][] = [
    [names.weight, codes.codes],
    [names.scale, codes.scales],
  ];
  if (codes.zeros) tensors.push([zeroName(path), codes.zeros]);
  if (!isWeightOnly(config)) {
    const errors = joined((source) => source.means.map(() => source.meanError));
    const original = bias ? floats(bias) : new Float32Array(weight.shape[0]);
    const corrected =
      config.biasCorrection === 'none'
        ? original
        : correctedBias(original, weight, rounded, { means, errors }, tapShares(node));
    tensors.push([names.bias, tensor('f32', [original.length], corrected)]);
  }
  return {
    tensors,
    weightSqnr: weightSqnr(weight, rounded),
    inputSqnr: Math.min(...sources.map(({ sqnr }) => sqnr)),
  };
}
