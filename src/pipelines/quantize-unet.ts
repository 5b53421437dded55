import { setImmediate } from 'node:timers/promises';
import { BookendError, throwIfAborted } from '../core/errors.ts';
import { startStopwatch } from '../core/stopwatch.ts';
import type { Tensor } from '../core/tensor.ts';
import { hashFiles } from '../io/file-hash.ts';
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
import { equalRanges, type QuantizedUNet, quantizedUNet } from '../quantization/quantized-model.ts';
import type { WeightSource } from '../runtime/backend.ts';
import { resolveIsa } from '../runtime/native/cpu.ts';
import { schedulerFromConfig } from '../schedulers/index.ts';
import { unetGraph } from './calibrate.ts';
import { calibrationPrompts } from './calibration-prompts.ts';
import { type CalibrationPlan, calibrate, calibrationKey } from './calibration-runs.ts';
import { type LoadedModel, type LoadOptions, loadModel } from './load.ts';
import { type ModelParts, openModelParts } from './model-parts.ts';
import { stepGraph } from './quantized-unet.ts';
import { requireNumber, requireWhole } from './request.ts';
import { weightFiles, weightsOf } from './weights.ts';

/** What quantization is doing; `seconds` is the time of the one that just ended. */
export interface QuantizationProgress {
  readonly phase: 'calibrating' | 'quantizing' | 'measuring';
  readonly done: number;
  readonly total: number;
  readonly seconds: number;
}

/** How a U-Net is quantized without training. */
export interface QuantizationOptions extends Omit<LoadOptions, 'precision'> {
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
  readonly onProgress?: (event: QuantizationProgress) => void;
  readonly signal?: AbortSignal;
}

/** `options` with defaults filled in, checked. @throws BookendError `invalid-argument`, `io` */
export async function quantizationPlan(
  modelPath: string,
  options: QuantizationOptions,
): Promise<CalibrationPlan> {
  const { config = DEFAULT_QUANTIZATION, samples = 8, steps = 15 } = options;
  const { guidanceScale = 7.5, seed = 0 } = options;
  return {
    config,
    prompts: await calibrationPrompts(modelPath, options.prompts),
    samples: requireWhole('samples', samples, 1, 100_000),
    steps: requireWhole('steps', steps, 1, 1000),
    guidanceScale: requireNumber('guidanceScale', guidanceScale, 0, 1000),
    seed: requireWhole('seed', seed, 0, Number.MAX_SAFE_INTEGER - 100_000),
  };
}

/** A model to run and the tensors of its U-Net to read. */
export interface ModelForQuantization {
  readonly model: LoadedModel;
  readonly parts: ModelParts;
  /** Of the U-Net. */
  readonly source: TensorSource;
  /** SHA-256 of the files of the U-Net's weights. */
  readonly weightsHash: string;
  /** Frees the networks of `model`, which cannot be run any more; its configurations stay. */
  releaseNetworks(): Promise<void>;
  /** Of the files as well. */
  close(): Promise<void>;
}

/** @throws BookendError as `loadModel` does */
export async function openForQuantization(
  path: string,
  options: Omit<LoadOptions, 'precision'>,
): Promise<ModelForQuantization> {
  const model = await loadModel(path, options);
  const parts = await openModelParts(path, options);
  let released: Promise<void> | undefined;
  const releaseNetworks = () => {
    released ??= model.dispose();
    return released;
  };
  const close = async () => {
    await parts.close();
    await releaseNetworks();
  };
  try {
    const source = await parts.weights('unet');
    const weightsHash = await hashFiles(weightFiles(source));
    return { model, parts, source, weightsHash, releaseNetworks, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** A quantized U-Net that is not written yet. */
export interface QuantizedParts {
  readonly model: QuantizedUNet;
  /** Those of `unet/quantized.safetensors`. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly layers: readonly SelectedLayer[];
  /** Samples that an earlier, interrupted run had left. */
  readonly resumedSamples: number;
}

/**
 * Calibrates and rounds. Interrupted at any point, it goes on from the last complete sample when called
 * again, to the same bytes.
 *
 * @param statePath where calibration under way is kept
 * @throws BookendError as generating does; `aborted`, `io`, `non-finite`, `invalid-argument`
 */
export async function quantizeUNet(
  { model, source, weightsHash }: ModelForQuantization,
  plan: CalibrationPlan,
  statePath: string,
  options: QuantizationOptions,
): Promise<QuantizedParts> {
  const { config } = plan;
  const layers = selectLayers(stepGraph(unetGraph(model, plan.guidanceScale)), config);
  const state = { path: statePath, key: calibrationKey(plan, model, layers, weightsHash) };
  const weights = weightsOf(source);
  const { calibration, resumed } = await calibrate(model, weights, layers, plan, state, {
    ...options,
    onStep: (done, total, seconds) =>
      options.onProgress?.({ phase: 'calibrating', done, total, seconds }),
  });
  const inputs = quantizeInputs(calibration, config);
  const quantized = await quantizeLayers(weights, layers, inputs, config, options);
  return {
    model: quantizedModel(plan, model, layers, inputs, quantized),
    tensors: new Map(quantized.flatMap((layer) => layer.tensors)),
    layers,
    resumedSamples: resumed,
  };
}

async function quantizeLayers(
  source: WeightSource,
  layers: readonly SelectedLayer[],
  inputs: readonly QuantizedInput[],
  config: QuantizationConfig,
  { onProgress, signal }: QuantizationOptions,
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

function schedulerOf(model: LoadedModel) {
  return schedulerFromConfig(model.model.schedulerConfig);
}
