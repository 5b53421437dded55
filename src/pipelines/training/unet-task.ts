import { floats, type Tensor, tensor } from '../../core/tensor.ts';
import type { Graph } from '../../ir/graph.ts';
import { gradientName } from '../../passes/differentiate.ts';
import type { Executable, WeightSource } from '../../runtime/backend.ts';
import { nativeBackend } from '../../runtime/native/native-backend.ts';
import type { NativeExecutable } from '../../runtime/native/native-executable.ts';
import { sharedFloats } from '../../runtime/native/shared-floats.ts';
import type { Batch, BatchSource } from '../../training/batches.ts';
import type { TrainingProgress } from '../../training/checkpoint-state.ts';
import type { NamedArrays } from '../../training/named-arrays.ts';
import type { BatchLosses, TrainingTask } from '../../training/trainer.ts';
import { SAMPLE_WEIGHTS, TARGET, TEACHER } from '../../training/training-graph.ts';
import type { TrainingOptions } from '../../training/training-options.ts';
import { inferencePrecision } from '../request.ts';
import { fittingGraph } from './fitting-graph.ts';
import type { ScaleLearner } from './scale-learning.ts';

/** A U-Net that learns. */
export interface Student {
  /** As it is built, or prepared for quantization; of the size of a batch. */
  readonly network: Graph;
  /** Every parameter of `network`; of those that are trained, the values to start from. */
  readonly weights: WeightSource;
  /** Paths of the parameters that are trained. */
  readonly trainable: readonly string[];
  /** Of a network that is prepared for quantization. */
  readonly scales?: ScaleLearner;
}

export interface TaskOptions extends Pick<TrainingOptions, 'precision'> {
  /** λ; the teacher is asked unless it is 0. */
  readonly distillation: number;
  readonly weighted: boolean;
  readonly threads?: number;
  /** Puts something in the place of the compiled student that runs it, for those who time it. */
  readonly observe?: (student: NativeExecutable) => Executable;
}

/**
 * A U-Net as the training loop wants it. Student, gradients and optimizer work on the same memory.
 *
 * @param teacher the original network for a whole batch; not disposed of
 * @throws BookendError as compiling does
 */
export async function createUNetTask(
  student: Student,
  teacher: Executable | undefined,
  batches: BatchSource,
  options: TaskOptions,
): Promise<UNetTask> {
  const { network, weights, trainable, scales } = student;
  const { precision, distillation, weighted, threads } = options;
  const graph = fittingGraph(network, trainable, {
    withRespectTo: [...trainable, ...(scales?.withRespectTo ?? [])],
    distillation,
    weighted,
    precision: inferencePrecision(precision),
  });
  const parameters = new Map<string, Float32Array>();
  const gradients = new Map<string, Float32Array>();
  for (const path of trainable) {
    const values = floats(await weights.read(path));
    const array = sharedFloats(values.length);
    array.set(values);
    parameters.set(path, array);
    gradients.set(path, sharedFloats(values.length));
  }
  const outputs = new Map([...gradients].map(([path, array]) => [gradientName(path), array]));
  const executable = await nativeBackend.compile(graph, weights, {
    passes: [],
    threads,
    inPlace: { parameters: new Map([...parameters, ...(scales?.inPlace ?? [])]), outputs },
  });
  for (const [name, array] of scales?.parameters ?? []) {
    parameters.set(name, array);
    gradients.set(name, sharedFloats(array.length));
  }
  const usesTarget = distillation !== Number.POSITIVE_INFINITY;
  return new UNetTask({
    ...{ executable: options.observe?.(executable) ?? executable, teacher, usesTarget, batches },
    ...{ parameters, gradients, scales },
  });
}

interface TaskParts {
  readonly executable: Executable;
  readonly teacher: Executable | undefined;
  readonly usesTarget: boolean;
  readonly batches: BatchSource;
  readonly parameters: NamedArrays;
  readonly gradients: NamedArrays;
  readonly scales: ScaleLearner | undefined;
}

/** Draws batches, asks the teacher, runs the student forth and back. */
export class UNetTask implements TrainingTask {
  readonly parameters: NamedArrays;
  readonly gradients: NamedArrays;
  readonly #parts: TaskParts;

  constructor(parts: TaskParts) {
    this.parameters = parts.parameters;
    this.gradients = parts.gradients;
    this.#parts = parts;
  }

  async computeGradients(step: number): Promise<BatchLosses> {
    const { executable, teacher, usesTarget, batches, scales } = this.#parts;
    const batch = await batches.next();
    const { timesteps, target, weights } = batch;
    const question = questionOf(batch);
    const answer = teacher && (await teacher.run(question)).sample;
    const outputs = await executable.run({
      ...question,
      ...scales?.operands(timesteps),
      ...(target && usesTarget && { [TARGET]: target }),
      ...(answer && { [TEACHER]: answer }),
      ...(weights && { [SAMPLE_WEIGHTS]: weights }),
    });
    const learned = scales?.learn(step, timesteps, outputs) ?? new Map();
    for (const [name, gradient] of learned) this.gradients.get(name)!.set(gradient);
    return lossesOf(outputs);
  }

  project(): void {
    this.#parts.scales?.apply();
  }

  progress(): TrainingProgress {
    return this.#parts.batches.progress();
  }

  extra(): NamedArrays {
    return this.#parts.scales?.extra() ?? new Map();
  }

  restore(progress: TrainingProgress, extra: NamedArrays): void {
    this.#parts.batches.restore(progress);
    this.#parts.scales?.restore(extra);
    this.#parts.scales?.apply();
  }

  dispose(): void {
    this.#parts.executable.dispose();
  }
}

/** What both networks are asked. */
function questionOf({ timesteps, sample, embeddings }: Batch): Record<string, Tensor> {
  return {
    sample,
    timestep: tensor('f32', [timesteps.length], Float32Array.from(timesteps)),
    ...(embeddings && { encoderHiddenStates: embeddings }),
  };
}

function lossesOf(outputs: Readonly<Record<string, Tensor>>): BatchLosses {
  const numberOf = ({ data }: Tensor) => data[0];
  const { loss, targetLoss, teacherLoss } = outputs;
  return {
    loss: numberOf(loss),
    ...(targetLoss && { targetLoss: numberOf(targetLoss) }),
    ...(teacherLoss && { teacherLoss: numberOf(teacherLoss) }),
  };
}
