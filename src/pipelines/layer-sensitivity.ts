import { z } from 'zod';
import { startStopwatch } from '../core/stopwatch.ts';
import type { NoiseLevels } from '../quantization/precision-schedule.ts';
import { createScheduler } from '../schedulers/index.ts';
import { Denoiser } from './denoiser.ts';
import type { Kept } from './kept-results.ts';
import { ImageNoise } from './latents.ts';
import { type LoadedModel, unetOf } from './load.ts';
import { noiseLevels } from './precision-plan.ts';
import { requireNumber, requireWhole } from './request.ts';
import {
  bothPrecisions,
  type ComparedRuns,
  finishRun,
  SENSITIVITY_SCHEDULER,
} from './sensitivity-runs.ts';
import { type Predict, type Subject, subjectOf } from './sensitivity-subject.ts';
import type { UNet } from './unet.ts';

export interface LayerSensitivityRequest {
  /** What the samples are on their way to; not read by models without prompts. */
  readonly prompt: string;
  /** Of the run that the samples are taken from, 20 by default. */
  readonly steps?: number;
  /** 7.5 by default. */
  readonly guidanceScale?: number;
  /** 0 by default. */
  readonly seed?: number;
  /** Pixels; the model's own size by default. */
  readonly width?: number;
  readonly height?: number;
  /** By layer: what an earlier run has found, and where to keep what this one finds. */
  readonly kept?: Kept<LayerErrors>;
  /** Told after every layer; `seconds` is what it took. */
  readonly onProgress?: (done: number, total: number, seconds: number) => void;
  readonly signal?: AbortSignal;
}

/** At each of the samples: mean square of the error over mean square of the output. */
export const layerErrorsSchema = z.array(z.number().finite().min(0)).length(3);

export type LayerErrors = readonly number[];

/** What one layer does to the network's output when it alone computes in INT8. */
export interface LayerSensitivity {
  readonly path: string;
  /** The path without the numbers that say where it is: `resnets.conv1`, `attn1.to_q`. */
  readonly kind: string;
  /** Signal to noise in dB; infinite without noise. */
  readonly sqnr: number;
  /** Of the squared errors of all layers, above that of high precision. */
  readonly share: number;
}

export interface KindSensitivity {
  readonly kind: string;
  readonly layers: number;
  /** The sum over its layers. */
  readonly share: number;
}

export interface LayerRanking {
  /** The worst first. */
  readonly layers: readonly LayerSensitivity[];
  readonly kinds: readonly KindSensitivity[];
  /** dB with all layers in INT8. */
  readonly int8: number;
  /** dB of high precision to itself from a sample that differs beyond what can be seen. */
  readonly floor: number;
  readonly timesteps: readonly number[];
}

/** No path of a layer has a space in it. */
const ALL_LAYERS = 'all layers';
const NO_LAYER = 'no layer';

/** Beside a sample of deviation of about 1. */
const DISTURBANCE = 1e-4;

/**
 * Ranks the quantized layers by the error of the model's output, guidance included, when one of them
 * computes in INT8 and all others in high precision: errors of single layers stand out from nothing,
 * where the gain of one layer in high precision would drown in the errors of all others. They are
 * taken at three samples of a run in high precision, in the middle of each third of the way from
 * noise to image (as an angle, arctan σ), and averaged as relative squared errors.
 *
 * Takes three model evaluations for each layer, and compiling the network for it.
 *
 * @throws BookendError `invalid-argument` for a model without INT8 or options out of range;
 * `unsupported` for models that only inpaint; `aborted`
 */
export async function measureLayerSensitivity(
  model: LoadedModel['model'],
  request: LayerSensitivityRequest,
): Promise<LayerRanking> {
  const { layers } = unetOf(model).requireInt8();
  const steps = requireWhole('steps', request.steps ?? 20, 1, 1000);
  const seed = requireWhole('seed', request.seed ?? 0, 0, Number.MAX_SAFE_INTEGER / 2);
  const guidanceScale = requireNumber('guidanceScale', request.guidanceScale ?? 7.5, 0, 1000);
  const options = { ...request, guidanceScale };
  const subject = subjectOf(model, options);
  const scheduler = createScheduler(SENSITIVITY_SCHEDULER, subject.schedulerConfig);
  const { timesteps } = scheduler.plan(steps);
  const picked = middlesOfThirds(noiseLevels(scheduler, timesteps));
  const names = [NO_LAYER, ALL_LAYERS, ...layers];
  const found = new Map<string, LayerErrors>();
  for (const name of names) {
    const known = request.kept?.get(name);
    if (known) found.set(name, known);
  }
  const runs = { subject, scheduler, timesteps, evaluated: () => {}, signal: request.signal };
  const missing = names.filter((name) => !found.has(name));
  const body = async (predict: Predict) => {
    const samples = await takeSamples(runs, predict, picked, seed);
    for (const name of missing) {
      const elapsed = startStopwatch();
      const errors = await errorsOf(name, { model, options, predict, samples, timesteps });
      await request.kept?.set(name, errors);
      found.set(name, errors);
      request.onProgress?.(found.size, names.length, elapsed());
    }
  };
  // The network in high precision stays ready meanwhile, and with it the weights that most of each
  // variant has in common with it.
  if (missing.length > 0) await subject.use(bothPrecisions(timesteps), request.prompt, body);
  return ranked(
    layers,
    found,
    picked.map((step) => timesteps[step]),
  );
}

/** The steps nearest to 5/6, 3/6 and 1/6 of the way from image to noise. */
function middlesOfThirds(sigmas: NoiseLevels): number[] {
  return [5 / 6, 3 / 6, 1 / 6].map((share) => {
    const distances = sigmas.map((sigma) => Math.abs(Math.atan(sigma) - (share * Math.PI) / 2));
    return distances.indexOf(Math.min(...distances));
  });
}

/** Where the network is asked. */
interface ProbeSample {
  readonly step: number;
  readonly input: Float32Array;
  /** `input`, changed beyond what can be seen. */
  readonly disturbed: Float32Array;
  /** In high precision. */
  readonly output: Float32Array;
}

async function takeSamples(
  runs: ComparedRuns,
  predict: Predict,
  picked: readonly number[],
  seed: number,
): Promise<ProbeSample[]> {
  const noise = new ImageNoise([seed], runs.subject.shape);
  const start = { latents: noise.draw(), first: 0, isInt8: () => false };
  const run = await finishRun(runs, predict, noise, start);
  const samples: ProbeSample[] = [];
  for (const step of picked) {
    const input = run[step];
    const disturbed = noise.draw().map((value, i) => input[i] + DISTURBANCE * value);
    samples.push({ step, input, disturbed, output: await predict(input, step) });
  }
  return samples;
}

interface Probe {
  readonly model: LoadedModel['model'];
  readonly options: Parameters<typeof subjectOf>[1] & { readonly prompt: string };
  /** Of the plan of `bothPrecisions`. */
  readonly predict: Predict;
  readonly samples: readonly ProbeSample[];
  readonly timesteps: readonly number[];
}

async function errorsOf(
  name: string,
  { model, options, predict, samples, timesteps }: Probe,
): Promise<LayerErrors> {
  const errors = async (ask: (sample: ProbeSample, i: number) => Promise<Float32Array>) => {
    const found: number[] = [];
    for (const [i, sample] of samples.entries()) {
      found.push(relativeError(await ask(sample, i), sample.output));
    }
    return found;
  };
  if (name === NO_LAYER) return errors(({ disturbed, step }) => predict(disturbed, step));
  if (name === ALL_LAYERS) {
    return errors(({ input, step }) => predict(input, timesteps.length + step));
  }
  const unet = unetOf(model);
  const alone = unet.quantizedBy(unet.requireInt8().alone(name));
  const plan = {
    timesteps: samples.map(({ step }) => timesteps[step]),
    schedule: samples.map(() => 'int8' as const),
  };
  const subject: Subject = subjectOf(withUNet(model, alone), options);
  try {
    return await subject.use(plan, options.prompt, (ask) =>
      errors(({ input }, i) => ask(input, i)),
    );
  } finally {
    alone.dispose();
  }
}

function withUNet(model: LoadedModel['model'], unet: UNet): LoadedModel['model'] {
  if (!('denoiser' in model)) return { ...model, unet };
  return { ...model, denoiser: new Denoiser(model.denoiser.config, unet) };
}

function relativeError(output: Float32Array, reference: Float32Array): number {
  let [error, signal] = [0, 0];
  for (const [i, value] of reference.entries()) {
    error += (output[i] - value) ** 2;
    signal += value ** 2;
  }
  return signal > 0 ? error / signal : 0;
}

function ranked(
  paths: readonly string[],
  found: ReadonlyMap<string, LayerErrors>,
  timesteps: readonly number[],
): LayerRanking {
  const meanOf = (name: string) => {
    const errors = found.get(name)!;
    return errors.reduce((sum, error) => sum + error, 0) / errors.length;
  };
  const floor = meanOf(NO_LAYER);
  const own = (path: string) => Math.max(0, meanOf(path) - floor);
  const total = paths.reduce((sum, path) => sum + own(path), 0);
  const layers = paths
    .map((path) => ({
      path,
      kind: kindOf(path),
      sqnr: decibels(meanOf(path)),
      share: total > 0 ? own(path) / total : 0,
    }))
    .sort((a, b) => a.sqnr - b.sqnr);
  const kinds = new Map<string, KindSensitivity>();
  for (const { kind, share } of layers) {
    const known = kinds.get(kind) ?? { kind, layers: 0, share: 0 };
    kinds.set(kind, { kind, layers: known.layers + 1, share: known.share + share });
  }
  return {
    layers,
    kinds: [...kinds.values()].sort((a, b) => b.share - a.share),
    int8: decibels(meanOf(ALL_LAYERS)),
    floor: decibels(floor),
    timesteps,
  };
}

function decibels(relative: number): number {
  return -10 * Math.log10(relative);
}

/** What says where a layer is and not what it does. */
const PLACES = /^(\d+|down_blocks|mid_block|up_blocks|attentions|transformer_blocks)$/;

/** The path of a layer without the numbers that say where it is. */
export function kindOf(path: string): string {
  return path
    .split('.')
    .filter((part) => !PLACES.test(part))
    .join('.');
}
