import { BookendError } from '../core/errors.ts';
import type { Graph, Node } from '../ir/graph.ts';
import { assignPrecision } from '../passes/assign-precision.ts';
import { checkpoint, isProduct } from '../passes/checkpoint.ts';
import { commonSubexpressions } from '../passes/common-subexpressions.ts';
import { deadCode } from '../passes/dead-code.ts';
import { differentiate } from '../passes/differentiate.ts';
import { type InferencePrecision, runPasses } from '../passes/index.ts';
import { copyInto } from '../passes/rewrite.ts';
import { distillationLoss } from './losses.ts';

export interface TrainingGraphOptions {
  /** Parameters, and graph inputs such as learned scales, whose gradients are wanted. */
  readonly withRespectTo: readonly string[];
  /** λ, from 0 (no teacher) to infinity (no target). */
  readonly distillation: number;
  /** Whether samples have weights of their own. */
  readonly weighted: boolean;
  /** What products are computed in; losses and parameters stay float32. */
  readonly precision: InferencePrecision;
  /** Default: blocks. */
  readonly recomputation?: Recomputation;
}

/**
 * What of the forward part the backward part computes again instead of finding it in memory: nothing;
 * within the network's blocks whatever is no matrix product; or everything within blocks. Results are
 * the same, bit for bit. SD 1.5 at 512×512, prepared for quantization, takes 5.3, 1.3 or 0.65 GiB in
 * float32 beside its parameters, and 2.5, 2.5 or 3.1 TFLOP for each sample.
 */
export type Recomputation = 'nothing' | 'cheap' | 'blocks';

/** Inputs that a training graph has beside those of its network, and where they come from. */
export const TARGET = 'target';
export const TEACHER = 'teacher';
export const SAMPLE_WEIGHTS = 'sampleWeights';

/**
 * One step of training a network, but for the optimizer: its loss and the gradients of that.
 *
 * Inputs: the network's, `target` and `teacher` like its answer, as λ asks for them, and, if weighted,
 * `sampleWeights` [batch]. Outputs: `loss` and, where there are two, its parts `targetLoss` and
 * `teacherLoss` (before λ), all of shape []; `gradient:<name>`; and what the network gives besides its
 * answer.
 *
 * @param network as models build it, before fusion, with its answer as output `sample`
 * @throws BookendError `invalid-argument` as `distillationLoss` and `differentiate` do
 */
export function trainingGraph(network: Graph, options: TrainingGraphOptions): Graph {
  const { withRespectTo, precision, recomputation = 'blocks' } = options;
  const keeps = recomputation === 'cheap' ? isProduct : undefined;
  const differentiated = differentiate(withLoss(network, options), { loss: 'loss', withRespectTo });
  return runPasses(differentiated, [
    commonSubexpressions,
    ...(precision === 'f32' ? [] : [assignPrecision(precision, isOfLoss)]),
    ...(recomputation === 'nothing'
      ? []
      : [{ name: 'checkpoint', run: (graph: Graph) => checkpoint(graph, { keeps }) }]),
    deadCode,
  ]);
}

const LOSS_SCOPE = 'loss';

/**
 * The student's answer differs from the teacher's by little: rounded to bf16, the difference would be
 * mostly rounding.
 */
function isOfLoss({ scope }: Node): boolean {
  return scope === LOSS_SCOPE;
}

function withLoss(network: Graph, { distillation, weighted }: TrainingGraphOptions): Graph {
  const { b, map } = copyInto(network);
  const { sample, ...others } = network.outputs;
  if (!sample) {
    throw new BookendError(
      'invalid-argument',
      `${network.name} has no output sample, which is what training compares; pass a U-Net.`,
    );
  }
  const like = (name: string) => b.input(name, 'f32', sample.shape);
  const parts = {
    student: map(sample),
    ...(distillation !== Number.POSITIVE_INFINITY && { target: like(TARGET) }),
    ...(distillation !== 0 && { teacher: like(TEACHER) }),
    distillation,
    ...(weighted && { sampleWeights: b.input(SAMPLE_WEIGHTS, 'f32', sample.shape.slice(0, 1)) }),
  };
  const losses = b.withScope(LOSS_SCOPE, () => distillationLoss(b, parts));
  const { loss, targetLoss, teacherLoss } = losses;
  for (const [name, value] of Object.entries(others)) b.output(name, map(value));
  b.output('loss', loss);
  if (targetLoss && teacherLoss) {
    b.output('targetLoss', targetLoss);
    b.output('teacherLoss', teacherLoss);
  }
  return b.finish();
}
