import { hashText } from '../io/file-hash.ts';
import { Calibration, observedInputs } from '../quantization/calibration.ts';
import {
  isWeightOnly,
  type QuantizationConfig,
  type SelectedLayer,
} from '../quantization/config.ts';
import type { WeightSource } from '../runtime/backend.ts';
import { resolveIsa } from '../runtime/native/cpu.ts';
import { schedulerFromConfig } from '../schedulers/index.ts';
import { type CalibrationRun, Calibrator, unetGraph } from './calibrate.ts';
import { promptOfSample } from './calibration-prompts.ts';
import { type CalibrationState, restoreCalibration, saveCalibration } from './calibration-state.ts';
import type { LoadedModel } from './load.ts';
import { stepGraph } from './quantized-unet.ts';
import type { StepEnd } from './request.ts';

/** Which denoising runs to learn from, and for what. */
export interface CalibrationPlan {
  readonly config: QuantizationConfig;
  readonly prompts: readonly string[];
  readonly samples: number;
  readonly steps: number;
  readonly guidanceScale: number;
  readonly seed: number;
}

export interface CalibrationOptions {
  readonly threads?: number;
  /** Told after every model evaluation; `seconds` is its time. */
  readonly onStep?: (done: number, total: number, seconds: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * Everything that the statistics depend on, except for how many samples there are.
 *
 * @param weights a hash of the network's
 */
export function calibrationKey(
  { config, prompts, steps, guidanceScale, seed }: CalibrationPlan,
  model: LoadedModel,
  layers: readonly SelectedLayer[],
  weights: string,
): string {
  const { buckets, observer } = config;
  const scheduler = model.model.schedulerConfig;
  const isa = resolveIsa();
  const paths = layers.map(({ path }) => path);
  return hashText(
    JSON.stringify([
      ...[weights, isa, scheduler, paths, buckets, observer.momentum],
      ...[isWeightOnly(config), prompts, steps, guidanceScale, seed],
    ]),
  );
}

/**
 * Takes up what `state` holds and runs the samples that it lacks, storing the statistics after each.
 *
 * @param weights the U-Net's
 * @returns also how many samples had been there
 * @throws BookendError as generating does; `aborted`, `io`; `invalid-argument` for too few steps
 */
export async function calibrate(
  model: LoadedModel,
  weights: WeightSource,
  layers: readonly SelectedLayer[],
  plan: CalibrationPlan,
  state: CalibrationState,
  options: CalibrationOptions,
): Promise<{ readonly calibration: Calibration; readonly resumed: number }> {
  const { config, samples } = plan;
  const paths = layers.map(({ path }) => path);
  const inputs = observedInputs(stepGraph(unetGraph(model, plan.guidanceScale)), paths);
  const calibration = new Calibration(inputs, {
    buckets: isWeightOnly(config) ? 1 : config.buckets,
    trainTimesteps: schedulerFromConfig(model.model.schedulerConfig).numTrainTimesteps,
    momentum: config.observer.momentum,
  });
  const resumed = await restoreCalibration(state, calibration.tensors(), samples);
  if (resumed > 0) calibration.requireEveryBucket();
  const calibrator = new Calibrator(model, paths, weights, options);
  try {
    for (let sample = resumed; sample < samples; sample++) {
      await calibrator.run(runOf(plan, sample, options), calibration);
      // All runs have the same timesteps, so what the first one lacks, no other one has.
      calibration.requireEveryBucket();
      await saveCalibration(state, calibration.tensors(), sample + 1);
    }
  } finally {
    calibrator.dispose();
  }
  return { calibration, resumed };
}

function runOf(
  { prompts, samples, seed, steps, guidanceScale }: CalibrationPlan,
  sample: number,
  { onStep, signal }: CalibrationOptions,
): CalibrationRun {
  const onStepEnd = (event: StepEnd) =>
    onStep?.(sample * event.steps + event.step + 1, samples * event.steps, event.seconds);
  const prompt = promptOfSample(prompts, sample);
  return { prompt, seed: seed + sample, steps, guidanceScale, onStepEnd, signal };
}
