import { setImmediate } from 'node:timers/promises';
import { BookendError, throwIfAborted } from '../core/errors.ts';
import { startStopwatch } from '../core/stopwatch.ts';
import type { Tensor } from '../core/tensor.ts';
import { hashFiles } from '../io/file-hash.ts';
import { resolveModel } from '../io/hub.ts';
import type { TensorSource } from '../io/tensor-source.ts';
import {
  DEFAULT_QUANTIZATION,
  isWeightOnly,
  type QuantizationConfig,
  type SelectedLayer,
  selectLayers,
} from '../quantization/config.ts';
import {
  layerParams,
  type QuantizedInput,
  type QuantizedLayer,
  quantizeInputs,
  quantizeLayer,
} from '../quantization/quantize-layer.ts';
import {
  equalRanges,
  type LayerReport,
  type QuantizedUNet,
  quantizedUNet,
} from '../quantization/quantized-model.ts';
import type { PrecisionSensitivity } from '../quantization/sensitivity.ts';
import type { WeightSource } from '../runtime/backend.ts';
import { resolveIsa } from '../runtime/native/cpu.ts';
import { schedulerFromConfig } from '../schedulers/index.ts';
import { unetGraph } from './calibrate.ts';
import { calibrationPrompts, promptOfSample } from './calibration-prompts.ts';
import { type CalibrationPlan, calibrate, calibrationKey } from './calibration-runs.ts';
import { type LoadedModel, type LoadOptions, loadModel } from './load.ts';
import { openModelParts } from './model-parts.ts';
import { QuantizedFolder } from './quantized-folder.ts';
import { stepGraph } from './quantized-unet.ts';
import { requireNumber, requireWhole } from './request.ts';
import { measureSensitivity } from './sensitivity.ts';
import { weightsOf } from './weights.ts';

/** What quantization is doing; `seconds` is the time of the one that just ended. */
export interface QuantizationProgress {
  readonly phase: 'calibrating' | 'quantizing' | 'measuring';
  readonly done: number;
  readonly total: number;
  readonly seconds: number;
}

export interface PostTrainingOptions extends Omit<LoadOptions, 'precision'> {
  readonly config?: QuantizationConfig;
  /** A text file with a prompt on each line. */
  readonly prompts?: string;
  /** Denoising runs to calibrate on, 8 by default. */
  readonly samples?: number;
  /** Of each run, 15 by default. */
  readonly steps?: number;
  /** 7.5 by default. */
  readonly guidanceScale?: number;
  /** Of the first run; the others count on. 0 by default. */
  readonly seed?: number;
  /**
   * How many prompts to measure the sensitivity of the steps to INT8 with, 2 by default; 0: leave
   * it out, and with it precision `auto`. Models without prompts and weight-only ones have none.
   */
  readonly sensitivityPrompts?: number;
  readonly onProgress?: (event: QuantizationProgress) => void;
  readonly signal?: AbortSignal;
}

export type { LayerReport };

export interface QuantizationReport {
  readonly out: string;
  readonly model: QuantizedUNet;
  /** In the graph's order. */
  readonly layers: readonly LayerReport[];
  /** Samples that an earlier, interrupted run had left. */
  readonly resumedSamples: number;
  readonly seconds: number;
  /** Of the U-Net's weights: as they were, and those that an INT8 step reads. */
  readonly bytes: { readonly before: number; readonly after: number };
}

/**
 * Quantizes a model's U-Net without training: runs it as it is used, chooses a scale for every
 * layer input and timestep bucket, rounds the weights and corrects the biases. Interrupted at any
 * point, it goes on from the last complete sample when called again, to the same bytes.
 *
 * @param reference a folder, a single file or a hub id
 * @param out the folder to make
 * @throws BookendError as loading and generating do; `invalid-argument`, `io`, `aborted`
 */
export async function quantizePostTraining(
  reference: string,
  out: string,
  options: PostTrainingOptions = {},
): Promise<QuantizationReport> {
  const elapsed = startStopwatch();
  const { path } = await resolveModel(reference, options);
  const { config = DEFAULT_QUANTIZATION, samples = 8, steps = 15 } = options;
  const { guidanceScale = 7.5, seed = 0 } = options;
  const plan: CalibrationPlan = {
    config,
    prompts: await calibrationPrompts(path, options.prompts),
    samples: requireWhole('samples', samples, 1, 100_000),
    steps: requireWhole('steps', steps, 1, 1000),
    guidanceScale: requireNumber('guidanceScale', guidanceScale, 0, 1000),
    seed: requireWhole('seed', seed, 0, Number.MAX_SAFE_INTEGER - 100_000),
  };
  const model = await loadModel(path, options);
  const parts = await openModelParts(path, options);
  try {
    const source = await parts.weights('unet');
    const layers = selectLayers(stepGraph(unetGraph(model, guidanceScale)), config);
    const folder = await QuantizedFolder.prepare(out, path, options);
    const files = new Set([...source.names()].map((name) => source.locate(name).path));
    const key = calibrationKey(plan, model, layers, await hashFiles([...files].sort()));
    const state = { path: folder.statePath, key };
    const weights = weightsOf(source);
    const { calibration, resumed } = await calibrate(model, weights, layers, plan, state, {
      ...options,
      onStep: (done, total, seconds) =>
        options.onProgress?.({ phase: 'calibrating', done, total, seconds }),
    });
    const inputs = quantizeInputs(calibration, config);
    const quantized = await quantizeLayers(weights, layers, inputs, config, options);
    const tensors = new Map(quantized.flatMap((layer) => layer.tensors));
    const after = (await folder.writeTensors(tensors)) + remainingBytes(source, layers);
    const result = quantizedModel(plan, model, layers, inputs, quantized);
    await folder.writeModel(result);
    await folder.complete();
    const sensitivity = await sensitivityOf(out, result, plan, options);
    const measured = sensitivity ? quantizedUNet({ ...result, sensitivity }) : result;
    if (sensitivity) await folder.writeModel(measured);
    await folder.finish();
    return {
      out,
      model: measured,
      layers: measured.reports,
      resumedSamples: resumed,
      seconds: elapsed(),
      bytes: { before: totalBytes(source, source.names()), after },
    };
  } finally {
    await parts.close();
    await model.dispose();
  }
}

async function quantizeLayers(
  source: WeightSource,
  layers: readonly SelectedLayer[],
  inputs: readonly QuantizedInput[],
  config: QuantizationConfig,
  { onProgress, signal }: PostTrainingOptions,
): Promise<QuantizedLayer[]> {
  const quantized: QuantizedLayer[] = [];
  for (const [i, layer] of layers.entries()) {
    // Lets the event loop hear of an interrupt.
    await setImmediate();
    throwIfAborted(signal);
    const elapsed = startStopwatch();
    const weight = await source.read(`${layer.path}.weight`);
    const biasName = `${layer.path}.bias`;
    const bias = source.info(biasName) ? await source.read(biasName) : undefined;
    requireFinite(layer.path, weight);
    quantized.push(quantizeLayer(layer, weight, bias, inputs, config));
    const done = i + 1;
    onProgress?.({ phase: 'quantizing', done, total: layers.length, seconds: elapsed() });
  }
  return quantized;
}

/** A NaN would be rounded to some number, and nobody would know. */
function requireFinite(path: string, { dtype, data }: Tensor): void {
  const infinite = dtype === 'bf16' ? 0x7f80 : dtype === 'f16' ? 0x7c00 : undefined;
  const sound =
    infinite === undefined
      ? (data as Float32Array).every(Number.isFinite)
      : (data as Uint16Array).every((bits) => (bits & infinite) !== infinite);
  if (sound) return;
  throw new BookendError(
    'non-finite',
    `The weight of ${path} holds infinity or NaN and cannot be quantized; look for more with \`bookend inspect --values\` and fetch the model again.`,
  );
}

function quantizedModel(
  { config, samples, steps, guidanceScale, seed }: CalibrationPlan,
  model: LoadedModel,
  layers: readonly SelectedLayer[],
  inputs: readonly QuantizedInput[],
  quantized: readonly QuantizedLayer[],
): QuantizedUNet {
  const { numTrainTimesteps: trainTimesteps, name: scheduler } = schedulerOf(model);
  const ranges = isWeightOnly(config) ? [] : equalRanges(trainTimesteps, config.buckets);
  return quantizedUNet({
    config,
    origin: { method: 'ptq', samples, steps, guidanceScale, seed, scheduler, isa: resolveIsa() },
    trainTimesteps,
    buckets: ranges.map((range, i) => ({ ...range, layers: layerParams(layers, inputs, i) })),
    reports: layers.map(({ path }, i) => ({
      path,
      weightSqnr: finite(quantized[i].weightSqnr),
      inputSqnr: finite(quantized[i].inputSqnr),
    })),
  });
}

const finite = (value: number) => (Number.isFinite(value) ? value : null);

/** Measured on the finished folder, as it will be used. */
async function sensitivityOf(
  folder: string,
  { buckets }: QuantizedUNet,
  { prompts, guidanceScale, seed }: CalibrationPlan,
  { sensitivityPrompts = 2, threads, onProgress, signal }: PostTrainingOptions,
): Promise<PrecisionSensitivity | undefined> {
  if (sensitivityPrompts === 0 || buckets.length === 0) return undefined;
  const loaded = await loadModel(folder, { threads });
  try {
    let elapsed = startStopwatch();
    return await measureSensitivity(loaded.model, {
      prompts: Array.from({ length: sensitivityPrompts }, (_, i) => promptOfSample(prompts, i)),
      guidanceScale,
      seed,
      onProgress: (done, total) => {
        onProgress?.({ phase: 'measuring', done, total, seconds: elapsed() });
        elapsed = startStopwatch();
      },
      signal,
    });
  } finally {
    await loaded.dispose();
  }
}

function schedulerOf(model: LoadedModel) {
  return schedulerFromConfig(model.model.schedulerConfig);
}

function totalBytes(source: TensorSource, names: Iterable<string>): number {
  let total = 0;
  for (const name of names) total += source.locate(name).byteLength;
  return total;
}

/** Of the tensors that quantization leaves as they are. */
function remainingBytes(source: TensorSource, layers: readonly SelectedLayer[]): number {
  const replaced = new Set(layers.flatMap(({ path }) => [`${path}.weight`, `${path}.bias`]));
  return totalBytes(
    source,
    source.names().filter((name) => !replaced.has(name)),
  );
}
