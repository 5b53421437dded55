import type {
  LayerDescription,
  QuantizationDescription,
} from '../pipelines/describe-quantization.ts';
import type { QuantizationSpec } from '../quantization/config.ts';
import type { ClippingRange } from '../quantization/observers/code-range.ts';
import type { QuantizationTraining } from '../quantization/quantized-model.ts';
import { formatTable, print } from './output.ts';

/** The part of `inspect --json` that speaks of quantization; nothing where there is none. */
export function jsonOfQuantization(description: QuantizationDescription | undefined): {
  readonly quantization?: object;
} {
  if (!description) return {};
  const { model, layers } = description;
  const { config, origin, trainTimesteps, sensitivity } = model;
  const buckets = model.buckets.map(({ minTimestep, maxTimestep }) => ({
    minTimestep,
    maxTimestep,
  }));
  return { quantization: { config, origin, trainTimesteps, buckets, sensitivity, layers } };
}

/** What is quantized, how it was made, and every layer. */
export function printQuantization({ model, layers }: QuantizationDescription): void {
  const { config, origin, buckets, sensitivity } = model;
  const ranges = buckets.map((bucket) => `${bucket.minTimestep}–${bucket.maxTimestep}`);
  const activations = config.activations
    ? `activations ${formatSpec(config.activations)} for the timesteps ${ranges.join(', ')}`
    : 'activations in floating point';
  print('');
  print(`quantized: weights ${formatSpec(config.weights)}, ${activations}`);
  print(
    `made by ${origin.method}: ${origin.samples} runs of ${origin.steps} steps (${origin.scheduler}, guidance ${origin.guidanceScale}, seed ${origin.seed}) with ${origin.isa}`,
  );
  if (origin.training) print(formatTraining(origin.training));
  if (sensitivity) {
    print(`images in INT8: ${sensitivity.int8Psnr.toFixed(1)} dB to those in high precision`);
  }
  print('');
  const header = [
    'layer',
    'precision',
    'weight scales',
    'weight dB',
    'input dB',
    'range of inputs by bucket',
  ];
  print(formatTable(header, layers.flatMap(layerRows), [false, false, false, true, true, false]));
}

function formatTraining(training: QuantizationTraining): string {
  const { steps, batchSize, learningRate, distillation, data, timesteps, scales, seed } = training;
  const where = timesteps === 'int8' ? 'the timesteps that run in INT8' : 'all timesteps';
  const from = data === 'images' ? 'images' : 'runs of the original model';
  return `trained for ${steps} steps of ${batchSize} samples (learning rate ${learningRate}, weight of distillation ${distillation ?? 'infinity'}, seed ${seed}) on ${from} at ${where}, scales ${scales}`;
}

/** One line, and a second for the second source of a skip connection. */
function layerRows(layer: LayerDescription): string[][] {
  const { path, precision, weightScales, x, skip } = layer;
  const [weight, input] = [layer.weightSqnr, layer.inputSqnr].map((dB) => dB?.toFixed(1) ?? '');
  const scales = weightScales
    ? `${formatNumber(weightScales.min)}…${formatNumber(weightScales.max)}`
    : '';
  const row = [path, precision, scales, weight, input, formatRanges(x)];
  return skip ? [row, ['  and its skip', '', '', '', '', formatRanges(skip)]] : [row];
}

function formatRanges(ranges: readonly ClippingRange[] = []): string {
  return ranges.map(({ min, max }) => `[${formatNumber(min)}, ${formatNumber(max)}]`).join(' ');
}

function formatNumber(value: number): string {
  return value === 0 ? '0' : value.toPrecision(3);
}

function formatSpec({ dtype, granularity, groupSize, scheme }: QuantizationSpec): string {
  const group = groupSize === undefined ? '' : ` of ${groupSize}`;
  return `${dtype} ${granularity}${group} ${scheme}`;
}
