import { BookendError } from '../../core/errors.ts';
import { checkQuantizationParams, roundToEven } from '../../core/quantization-params.ts';
import { floats, type Tensor, tensor } from '../../core/tensor.ts';
import { quantizedNames } from '../../passes/quantize-layers.ts';
import { weightSqnr } from '../bias-correction.ts';
import { type LayerReport, type QuantizedUNet, quantizedUNet } from '../quantized-model.ts';
import { dequantizeWeight, forEachScale, type WeightCodes } from '../weight-codes.ts';
import { type ActivationParams, trainedLayerParams } from './activation-params.ts';
import { WEIGHT_CODES } from './prepare.ts';

export interface ConvertedUNet {
  /** Those of a quantized model's `unet/quantized.safetensors`. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly model: QuantizedUNet;
}

/**
 * The quantized model that a prepared graph stood for: codes of the trained weights under the scales that
 * they were trained with, the trained biases as they are, and the activations' scales and zero points.
 * The sensitivity of the model that training started from is left out, for it has to be measured again;
 * of its reports, only what concerns weights is made anew.
 *
 * @param start the quantized model that training started from
 * @param read the prepared graph's parameters by name
 * @throws BookendError `non-finite` for weights that training ruined; `invalid-argument` for scales
 */
export async function convert(
  start: QuantizedUNet,
  activations: ActivationParams,
  read: (name: string) => Promise<Tensor>,
): Promise<ConvertedUNet> {
  const tensors = new Map<string, Tensor>();
  const reports: LayerReport[] = [];
  const before = new Map(start.reports.map((report) => [report.path, report]));
  for (const path of start.buckets[0]?.layers.keys() ?? []) {
    const names = quantizedNames(path);
    const weight = await read(`${path}.weight`);
    const bias = await read(names.bias);
    const codes = weightCodes(path, weight, await read(names.scale), start);
    requireFinite(names.bias, floats(bias));
    tensors.set(names.weight, codes.codes).set(names.scale, codes.scales).set(names.bias, bias);
    const sqnr = weightSqnr(weight, dequantizeWeight(codes));
    reports.push({
      path,
      weightSqnr: Number.isFinite(sqnr) ? sqnr : null,
      inputSqnr: before.get(path)?.inputSqnr ?? null,
    });
  }
  const buckets = start.buckets.map((bucket, i) => {
    const trained = trainedLayerParams(activations, i);
    const layers = [...bucket.layers.keys()].map((path) => {
      const params = trained.get(path)!;
      checkQuantizationParams(params.x);
      if (params.skip) checkQuantizationParams(params.skip);
      return [path, params] as const;
    });
    return { ...bucket, layers: new Map(layers) };
  });
  const { config, trainTimesteps } = start;
  const origin = { ...start.origin, method: 'qat' as const };
  return { tensors, model: quantizedUNet({ config, origin, trainTimesteps, buckets, reports }) };
}

/** Rounds as fakeQuantize does. */
function weightCodes(
  path: string,
  weight: Tensor,
  scales: Tensor,
  { config }: QuantizedUNet,
): WeightCodes {
  const values = floats(weight);
  requireFinite(`${path}.weight`, values);
  const steps = floats(scales);
  for (const scale of steps) checkQuantizationParams({ scale, zeroPoint: 0 });
  const codes = new Int8Array(values.length);
  const { lowest, highest } = WEIGHT_CODES;
  forEachScale(weight.shape, config.weights, (index, begin, end) => {
    for (let i = begin; i < end; i++) {
      codes[i] = Math.min(Math.max(roundToEven(values[i] / steps[index]), lowest), highest);
    }
  });
  return { codes: tensor('s8', weight.shape, codes), scales, spec: config.weights };
}

function requireFinite(name: string, values: Float32Array): void {
  if (values.every(Number.isFinite)) return;
  throw new BookendError(
    'non-finite',
    `The trained ${name} holds infinity or NaN; go back to an earlier checkpoint and lower the learning rate.`,
  );
}
