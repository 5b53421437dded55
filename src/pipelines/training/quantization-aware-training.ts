import { createHash } from 'node:crypto';
import { BookendError } from '../../core/errors.ts';
import { startStopwatch } from '../../core/stopwatch.ts';
import type { Tensor } from '../../core/tensor.ts';
import { hashText } from '../../io/file-hash.ts';
import { resolveModel } from '../../io/hub.ts';
import {
  formatQuantizedUNet,
  parseQuantizedUNet,
  type QuantizationTraining,
  type QuantizedUNet,
  quantizedUNet,
} from '../../quantization/quantized-model.ts';
import { checkQuantizedUNet } from '../../quantization/quantized-weights.ts';
import type { Executable } from '../../runtime/backend.ts';
import { resolveIsa } from '../../runtime/native/cpu.ts';
import { nativeBackend } from '../../runtime/native/native-backend.ts';
import { schedulerFromConfig } from '../../schedulers/index.ts';
import type { BatchSource } from '../../training/batches.ts';
import { train } from '../../training/trainer.ts';
import type { TrainingEvent } from '../../training/training-event.ts';
import {
  type TrainingOptions,
  type TrainingRequest,
  trainingOptions,
} from '../../training/training-options.ts';
import { unetGraph } from '../calibrate.ts';
import type { CalibrationPlan } from '../calibration-runs.ts';
import { bestPrecision } from '../cpu-precision.ts';
import { canResumeTraining } from '../output-folder.ts';
import {
  finishQuantization,
  type PostTrainingOptions,
  type QuantizationReport,
} from '../post-training-quantization.ts';
import {
  type ModelForQuantization,
  openForQuantization,
  type QuantizedParts,
  quantizationPlan,
  quantizeUNet,
} from '../quantize-unet.ts';
import { QuantizedFolder } from '../quantized-folder.ts';
import { stepGraph } from '../quantized-unet.ts';
import { inferencePrecision } from '../request.ts';
import { weightsOf } from '../weights.ts';
import { openBatches, type TrainingData } from './open-batches.ts';
import { quantizedStudent } from './quantized-student.ts';
import type { ScaleLearning } from './scale-learning.ts';
import { type TimestepChoice, trainingTimesteps } from './training-timesteps.ts';
import { batchGraph } from './unet-graph.ts';
import { createUNetTask } from './unet-task.ts';

/** Options of post-training quantization say how to make the model that training starts from. */
export interface QuantizationAwareOptions
  extends Omit<PostTrainingOptions, 'onProgress'>,
    TimestepChoice {
  readonly training: TrainingRequest;
  readonly data: TrainingData;
  /**
   * λ of MSE(student, target) + λ·MSE(student, teacher): from 0, which asks no teacher, to infinity,
   * which needs no images. By default 1 with images and infinity without.
   */
  readonly distillation?: number;
  /** By default held. */
  readonly scales?: ScaleLearning;
  /** Whether to go on with what an interrupted run has left in the folder, if anything. */
  readonly resume?: boolean;
  readonly onEvent?: (event: TrainingEvent) => void;
}

/**
 * Quantizes a model's U-Net by training it (Algorithm 1 of arXiv 2311.16133): a fake-quantized copy
 * learns from data and from the original U-Net, beginning with what post-training quantization makes
 * of it, or, where the model is quantized already, with that. Stopped at any point, it goes on bit
 * for bit with `resume`.
 *
 * @param reference a folder, a single file or a hub id
 * @param out the folder to make; a model once all is done
 * @throws BookendError as loading, opening the data and `train` do; `invalid-argument`, `io`,
 * `aborted`
 */
export async function quantizeWithTraining(
  reference: string,
  out: string,
  options: QuantizationAwareOptions,
): Promise<QuantizationReport> {
  const elapsed = startStopwatch();
  const settings = settingsOf(options);
  const reporting = { ...options, onProgress: preparation(options) };
  const { path } = await resolveModel(reference, options);
  const plan = await quantizationPlan(path, options);
  const open = await openForQuantization(path, options);
  try {
    const scheduler = schedulerFromConfig(open.model.model.schedulerConfig);
    const ranges = trainingTimesteps(scheduler, options);
    const folder = await QuantizedFolder.prepare(out, path, options);
    const resume = await canResumeTraining(out, options.resume === true);
    // Before the long work of calibration, for this is where most is found to be wrong.
    const batches = await openBatches(open.model, open.parts, options.data, {
      ...settings.training,
      ranges,
      onEvent: options.onEvent,
      signal: options.signal,
    });
    const start = await startOf(open, plan, folder.statePath, reporting);
    // Without an index it is no model yet, and with this it is known for what it will be.
    await folder.writeModel(start.model);
    await open.releaseNetworks();
    const run = { path: folder.trainingPath, resume };
    const trained = await learn(open, start, batches, settings, { ...options, ...run });
    const parts = { ...start, ...trained, model: withOrigin(trained.model, settings, options) };
    return await finishQuantization(folder, open, parts, plan, reporting, elapsed);
  } finally {
    await open.close();
  }
}

/** What the result depends on besides model and data. */
interface Settings {
  readonly training: TrainingOptions;
  readonly distillation: number;
  readonly scales: ScaleLearning;
}

/**
 * What training with quantization in place asks for, its own defaults filled in: a learning rate that
 * falls, because the rounding of weights keeps changing while they move, and more samples without text,
 * because guidance adds the errors of both answers.
 *
 * @throws BookendError `invalid-argument` for numbers out of their ranges
 */
export function quantizationAwareTraining(request: TrainingRequest): TrainingOptions {
  const given = Object.entries(request).filter(([, value]) => value !== undefined);
  return trainingOptions({
    rateSchedule: 'cosine',
    warmupSteps: Math.floor(request.steps / 15),
    conditioningDropout: 0.3,
    ...(Object.fromEntries(given) as unknown as TrainingRequest),
  });
}

function settingsOf(options: QuantizationAwareOptions): Settings {
  const { data, scales = { kind: 'held' } } = options;
  const { distillation = data.kind === 'images' ? 1 : Number.POSITIVE_INFINITY } = options;
  if (!(distillation >= 0)) {
    throw new BookendError(
      'invalid-argument',
      `The weight of distillation is ${distillation}; it must lie between 0 and infinity.`,
    );
  }
  if (data.kind === 'data-free' && distillation !== Number.POSITIVE_INFINITY) {
    throw new BookendError(
      'invalid-argument',
      `Without images there is no target to learn from, and the weight of distillation is ${distillation}; leave it out, or pass images.`,
    );
  }
  return { training: quantizationAwareTraining(options.training), distillation, scales };
}

/** The progress of preparations, among the other events. */
function preparation({ onEvent }: QuantizationAwareOptions): PostTrainingOptions['onProgress'] {
  return (progress) => onEvent?.({ kind: 'preparing', ...progress });
}

/** The quantized model that training begins with: the model's own, or one that is made now. */
async function startOf(
  open: ModelForQuantization,
  plan: CalibrationPlan,
  statePath: string,
  options: PostTrainingOptions,
): Promise<QuantizedParts> {
  const files = await open.parts.quantization();
  if (!files) {
    const { tensors, ...made } = await quantizeUNet(open, plan, statePath, options);
    // The codes of the weights, which are most of it, will be others.
    return { ...made, tensors: new Map([...tensors].filter(([, { dtype }]) => dtype !== 's8')) };
  }
  const model = parseQuantizedUNet(files.json, files.jsonPath);
  const source = weightsOf(files.tensors);
  const graph = stepGraph(unetGraph(open.model, plan.guidanceScale));
  const layers = await checkQuantizedUNet(model, graph, source, files.tensorsPath);
  const tensors = new Map<string, Tensor>();
  for (const name of source.names()) {
    if (source.info(name)?.dtype !== 's8') tensors.set(name, await source.read(name));
  }
  return { model, tensors, layers, resumedSamples: 0 };
}

function withOrigin(
  model: QuantizedUNet,
  { training, distillation, scales }: Settings,
  { data, timesteps = 'int8' }: QuantizationAwareOptions,
): QuantizedUNet {
  const { steps, batchSize, accumulation, learningRate, seed } = training;
  const origin: QuantizationTraining = {
    steps,
    batchSize: batchSize * accumulation,
    learningRate,
    distillation: Number.isFinite(distillation) ? distillation : null,
    data: data.kind,
    timesteps,
    scales: scales.kind,
    seed,
  };
  return quantizedUNet({ ...model, origin: { ...model.origin, training: origin } });
}

interface LearningOptions extends Pick<QuantizationAwareOptions, 'threads' | 'onEvent' | 'signal'> {
  readonly path: string;
  readonly resume: boolean;
}

/** Trains, and gives the quantized U-Net that comes of it. */
async function learn(
  open: ModelForQuantization,
  start: QuantizedParts,
  batches: BatchSource,
  settings: Settings,
  options: LearningOptions,
): Promise<Pick<QuantizedParts, 'model' | 'tensors'>> {
  const { training, distillation, scales } = settings;
  const { threads } = options;
  const network = batchGraph(open.model, batches, training.batchSize);
  const original = weightsOf(open.source);
  const student = await quantizedStudent(network, original, start, scales, training);
  let teacher: Executable | undefined;
  if (distillation !== 0) {
    const precision = inferencePrecision(bestPrecision());
    teacher = await nativeBackend.compile(network, original, { precision, threads });
  }
  try {
    const weighted = training.minSnrGamma !== null && distillation !== Number.POSITIVE_INFINITY;
    const { precision } = training;
    const taskOptions = { precision, distillation, weighted, threads };
    const task = await createUNetTask(student, teacher, batches, taskOptions);
    try {
      const identity = identityOf(open, start, batches, settings);
      const { result } = await train(task, training, { ...options, identity });
      return await student.convert(result);
    } finally {
      task.dispose();
    }
  } finally {
    teacher?.dispose();
  }
}

/** Of all that the training depends on; how often its state is stored does not matter. */
function identityOf(
  { weightsHash }: ModelForQuantization,
  { model, tensors }: QuantizedParts,
  { identity }: BatchSource,
  { training, distillation, scales }: Settings,
): string {
  const { checkpointEvery: _, ...rest } = training;
  const parts = [weightsHash, formatQuantizedUNet(model), hashTensors(tensors)];
  parts.push(identity, resolveIsa());
  return hashText(JSON.stringify([...parts, rest, String(distillation), scales]));
}

function hashTensors(tensors: ReadonlyMap<string, Tensor>): string {
  const hash = createHash('sha256');
  for (const [name, { data }] of tensors) {
    hash.update(name).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest('hex');
}
