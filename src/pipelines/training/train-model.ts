import { startStopwatch } from '../../core/stopwatch.ts';
import { type Tensor, tensor } from '../../core/tensor.ts';
import { hashFiles, hashText } from '../../io/file-hash.ts';
import { resolveModel } from '../../io/hub.ts';
import {
  type ParameterShapes,
  unet2DConditionParameters,
  unet2DParameters,
} from '../../models/parameters.ts';
import { parseUNet2DConditionConfig } from '../../models/unet-2d-condition-config.ts';
import { parseUNet2DConfig } from '../../models/unet-2d-config.ts';
import type { WeightSource } from '../../runtime/backend.ts';
import { memoryWeights } from '../../runtime/memory-weights.ts';
import { resolveIsa } from '../../runtime/native/cpu.ts';
import { schedulerFromConfig } from '../../schedulers/index.ts';
import type { BatchSource } from '../../training/batches.ts';
import { initialWeights } from '../../training/initial-weights.ts';
import type { NamedArrays } from '../../training/named-arrays.ts';
import { allTimesteps } from '../../training/timestep-sampling.ts';
import { train } from '../../training/trainer.ts';
import type { TrainingEvent } from '../../training/training-event.ts';
import {
  type TrainingOptions,
  type TrainingRequest,
  trainingOptions,
} from '../../training/training-options.ts';
import { type LoadedModel, type LoadOptions, loadModel } from '../load.ts';
import { type ModelParts, openModelParts } from '../model-parts.ts';
import { canResumeTraining } from '../output-folder.ts';
import { weightFiles, weightsOf } from '../weights.ts';
import { type ImageData, openBatches } from './open-batches.ts';
import { TrainedFolder } from './trained-folder.ts';
import { batchGraph } from './unet-graph.ts';
import { createUNetTask } from './unet-task.ts';

export interface TrainModelOptions extends Omit<LoadOptions, 'precision'> {
  readonly training: TrainingRequest;
  readonly data: ImageData;
  /** Begin with random parameters instead of the model's, which it then need not have. */
  readonly fromScratch?: boolean;
  /** Whether to go on with what an interrupted run has left in the folder, if anything. */
  readonly resume?: boolean;
  readonly onEvent?: (event: TrainingEvent) => void;
  readonly signal?: AbortSignal;
}

export interface TrainingReport {
  readonly out: string;
  readonly parameters: number;
  readonly seconds: number;
}

/**
 * Trains a model's U-Net on images: its error to the noise that was added (or to what else it
 * predicts), and nothing else. Text encoder and autoencoder stay. Stopped at any point, it goes on bit
 * for bit with `resume`.
 *
 * @param reference a folder, a single file or a hub id
 * @param out the folder to make; a model once all is done
 * @throws BookendError as loading, opening the data and `train` do; `invalid-argument`, `io`,
 * `aborted`
 */
export async function trainModel(
  reference: string,
  out: string,
  options: TrainModelOptions,
): Promise<TrainingReport> {
  const elapsed = startStopwatch();
  const training = trainingOptions(options.training);
  const { path } = await resolveModel(reference, options);
  const parts = await openModelParts(path, options);
  try {
    const { weights, identity } = options.fromScratch
      ? await randomStart(parts, training.seed)
      : await ownStart(parts);
    const folder = await TrainedFolder.prepare(out, path, parts, options);
    const resume = await canResumeTraining(out, options.resume === true);
    const model = await loadModel(path, options, weights);
    const batches = await openData(model, parts, training, options);
    const run = { ...options, path: folder.trainingPath, resume };
    const trained = await learn(model, weights, batches, training, { ...run, start: identity });
    await folder.complete(trained);
    let parameters = 0;
    for (const { data } of trained.values()) parameters += data.length;
    return { out, parameters, seconds: elapsed() };
  } finally {
    await parts.close();
  }
}

/** Parameters to begin with, and what tells them from all others. */
interface Start {
  readonly weights: WeightSource;
  readonly identity: string;
}

async function ownStart(parts: ModelParts): Promise<Start> {
  const source = await parts.weights('unet');
  return { weights: weightsOf(source), identity: await hashFiles(weightFiles(source)) };
}

async function randomStart(parts: ModelParts, seed: number): Promise<Start> {
  const config = await parts.config('unet');
  const weights = memoryWeights(initialWeights(parametersOf(config), seed));
  return { weights, identity: `random ${hashText(JSON.stringify(config))}` };
}

function parametersOf(config: unknown): ParameterShapes {
  const { _class_name: name } = config as { readonly _class_name?: unknown };
  if (name === 'UNet2DModel') return unet2DParameters(parseUNet2DConfig(config));
  return unet2DConditionParameters(parseUNet2DConditionConfig(config));
}

/** The model's networks are needed up to here. */
async function openData(
  model: LoadedModel,
  parts: ModelParts,
  training: TrainingOptions,
  { data, onEvent, signal }: TrainModelOptions,
): Promise<BatchSource> {
  try {
    const { numTrainTimesteps } = schedulerFromConfig(model.model.schedulerConfig);
    const ranges = allTimesteps(numTrainTimesteps);
    return await openBatches(model, parts, data, { ...training, ranges, onEvent, signal });
  } finally {
    await model.dispose();
  }
}

interface LearningOptions extends Pick<TrainModelOptions, 'threads' | 'onEvent' | 'signal'> {
  readonly path: string;
  readonly resume: boolean;
  /** Identity of the parameters to begin with. */
  readonly start: string;
}

async function learn(
  model: LoadedModel,
  weights: WeightSource,
  batches: BatchSource,
  training: TrainingOptions,
  options: LearningOptions,
): Promise<ReadonlyMap<string, Tensor>> {
  const network = batchGraph(model, batches, training.batchSize);
  const trainable = [...network.parameters.keys()];
  const task = await createUNetTask({ network, weights, trainable }, undefined, batches, {
    precision: training.precision,
    distillation: 0,
    weighted: training.minSnrGamma !== null,
    threads: options.threads,
  });
  try {
    const { checkpointEvery: _, ...rest } = training;
    const all = [options.start, batches.identity, resolveIsa(), rest];
    const identity = hashText(JSON.stringify(all));
    const { result } = await train(task, training, { ...options, identity });
    return tensorsOf(result, weights);
  } finally {
    task.dispose();
  }
}

function tensorsOf(result: NamedArrays, weights: WeightSource): ReadonlyMap<string, Tensor> {
  return new Map(
    [...result].map(([name, values]) => {
      const { shape } = weights.info(name)!;
      return [name, tensor('f32', shape, values as Float32Array<ArrayBuffer>)];
    }),
  );
}
