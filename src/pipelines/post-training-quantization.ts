import { startStopwatch } from '../core/stopwatch.ts';
import { resolveModel } from '../io/hub.ts';
import type { TensorSource } from '../io/tensor-source.ts';
import type { SelectedLayer } from '../quantization/config.ts';
import {
  type LayerReport,
  type QuantizedUNet,
  quantizedUNet,
} from '../quantization/quantized-model.ts';
import type { PrecisionSensitivity } from '../quantization/sensitivity.ts';
import { promptOfSample } from './calibration-prompts.ts';
import type { CalibrationPlan } from './calibration-runs.ts';
import { loadModel } from './load.ts';
import { canResumeTraining } from './output-folder.ts';
import {
  type ModelForQuantization,
  openForQuantization,
  type QuantizationOptions,
  type QuantizationProgress,
  type QuantizedParts,
  quantizationPlan,
  quantizeUNet,
} from './quantize-unet.ts';
import { QuantizedFolder } from './quantized-folder.ts';
import { measureSensitivity } from './sensitivity.ts';

export interface PostTrainingOptions extends QuantizationOptions {
  /**
   * How many prompts to measure the sensitivity of the steps to INT8 with, 2 by default; 0: leave
   * it out, and with it precision `auto`. Models without prompts and weight-only ones have none.
   */
  readonly sensitivityPrompts?: number;
}

export type { LayerReport, QuantizationProgress };

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
  const plan = await quantizationPlan(path, options);
  const open = await openForQuantization(path, options);
  try {
    const folder = await QuantizedFolder.prepare(out, path, options);
    await canResumeTraining(out, false);
    const quantized = await quantizeUNet(open, plan, folder.statePath, options);
    return await finishQuantization(folder, open, quantized, plan, options, elapsed);
  } finally {
    await open.close();
  }
}

/**
 * Writes a quantized U-Net into its folder, makes that a model, and measures what INT8 costs it.
 *
 * @param elapsed since the beginning of all the work
 * @throws BookendError `io`; as generating does
 */
export async function finishQuantization(
  folder: QuantizedFolder,
  { source }: ModelForQuantization,
  { model, tensors, layers, resumedSamples }: QuantizedParts,
  plan: CalibrationPlan,
  options: PostTrainingOptions,
  elapsed: () => number,
): Promise<QuantizationReport> {
  const after = (await folder.writeTensors(tensors)) + remainingBytes(source, layers);
  await folder.writeModel(model);
  await folder.complete();
  const sensitivity = await sensitivityOf(folder.path, model, plan, options);
  const measured = sensitivity ? quantizedUNet({ ...model, sensitivity }) : model;
  if (sensitivity) await folder.writeModel(measured);
  await folder.finish();
  return {
    out: folder.path,
    model: measured,
    layers: measured.reports,
    resumedSamples,
    seconds: elapsed(),
    bytes: { before: totalBytes(source, source.names()), after },
  };
}

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
