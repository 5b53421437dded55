import { BookendError } from '../core/errors.ts';
import { elementCount, formatShape, sameShape } from '../core/shape.ts';
import type { Value } from '../ir/graph.ts';
import type { GraphBuilder } from '../ir/graph-builder.ts';
import * as ops from '../ir/ops/index.ts';
import type { PredictionType } from '../schedulers/prediction.ts';

export interface LossInputs {
  /** The answer of the model in training, [batch, …]; of a floating type. */
  readonly student: Value;
  /** What it should answer by the data: noise, velocity or clean sample. */
  readonly target?: Value;
  /** What the original model answers. */
  readonly teacher?: Value;
  /**
   * λ, the weight of the teacher beside the target, from 0 (the target alone, no teacher needed) to
   * infinity (the teacher alone, no target needed).
   */
  readonly distillation: number;
  /** [batch]: a factor for each sample's error, as `minSnrWeights` gives. Default 1. */
  readonly sampleWeights?: Value;
}

/** All of shape [] and float32. */
export interface LossOutputs {
  readonly loss: Value;
  /** The error to the target; absent for λ = ∞. */
  readonly targetLoss?: Value;
  /** The error to the teacher, before λ; absent for λ = 0. */
  readonly teacherLoss?: Value;
}

/**
 * MSE(student, target) + λ·MSE(student, teacher): training on the data and distillation from the
 * original model (Hinton et al., "Distilling the Knowledge in a Neural Network", 2015, for answers
 * that are numbers rather than classes). Computed in float32 whatever the answers are stored in.
 *
 * @throws BookendError `invalid-argument` where λ is no such number, a term that it asks for is
 * missing, or shapes differ
 */
export function distillationLoss(b: GraphBuilder, inputs: LossInputs): LossOutputs {
  const { student, target, teacher, distillation, sampleWeights } = inputs;
  if (!(distillation >= 0)) {
    throw new BookendError(
      'invalid-argument',
      `The weight of distillation is ${distillation}; it must lie between 0 and infinity.`,
    );
  }
  const errorTo = (name: string, other: Value | undefined) => {
    if (other) return meanSquaredError(b, student, other, sampleWeights);
    throw new BookendError(
      'invalid-argument',
      `With a weight of distillation of ${distillation} the loss needs the ${name}; pass it.`,
    );
  };
  if (distillation === 0) {
    const targetLoss = errorTo('target', target);
    return { loss: targetLoss, targetLoss };
  }
  const teacherLoss = errorTo('teacher', teacher);
  if (distillation === Number.POSITIVE_INFINITY) return { loss: teacherLoss, teacherLoss };
  const targetLoss = errorTo('target', target);
  const loss = ops.add(b, targetLoss, ops.affine(b, teacherLoss, { scale: distillation }));
  return { loss, targetLoss, teacherLoss };
}

/**
 * The mean of (answer − expected)² over all elements, each sample's times its weight.
 *
 * @param sampleWeights [batch]; 1 when absent
 * @returns shape [], float32
 * @throws BookendError `invalid-argument` where shapes differ
 */
export function meanSquaredError(
  b: GraphBuilder,
  answer: Value,
  expected: Value,
  sampleWeights?: Value,
): Value {
  requireShape('expected answer', expected, answer.shape);
  const difference = ops.sub(b, ops.cast(b, answer, 'f32'), ops.cast(b, expected, 'f32'));
  const squares = ops.mul(b, difference, difference);
  const scale = 1 / elementCount(answer.shape);
  const perSample = ops.sum(b, squares, { axes: answer.shape.map((_, i) => i).slice(1) });
  let weighted = perSample;
  if (sampleWeights) {
    requireShape('sample weights', sampleWeights, answer.shape.slice(0, 1));
    weighted = ops.mul(b, perSample, ops.cast(b, sampleWeights, 'f32'));
  }
  return ops.affine(b, ops.sum(b, weighted, { axes: [0] }), { scale });
}

/**
 * Min-SNR-γ weights (Hang et al., "Efficient Diffusion Training via Min-SNR Weighting Strategy",
 * 2023, section 3.4): the clean sample's error would weigh min(SNR, γ), SNR = ᾱ/(1 − ᾱ); written for
 * what the model answers.
 *
 * @param alphasCumprod ᾱ of each sample's timestep, in [0, 1]
 * @param gamma positive; the paper's is 5
 * @throws BookendError `invalid-argument`
 */
export function minSnrWeights(
  alphasCumprod: ArrayLike<number>,
  gamma: number,
  prediction: PredictionType,
): Float32Array {
  const inRange = Array.from(alphasCumprod).every((alpha) => alpha >= 0 && alpha <= 1);
  if (!inRange || !(gamma > 0 && Number.isFinite(gamma))) {
    throw new BookendError(
      'invalid-argument',
      `Min-SNR weights were asked for with gamma ${gamma} and cumulative alphas ${Array.from(alphasCumprod).slice(0, 8).join(', ')}; gamma must be positive and finite, the alphas between 0 and 1.`,
    );
  }
  return Float32Array.from(alphasCumprod, (alpha) => {
    const snr = alpha / (1 - alpha);
    switch (prediction) {
      case 'epsilon':
        // As a quotient of γ, so that a timestep of noise alone has the limit 1, not 0/0.
        return Math.min(1, gamma / snr);
      case 'v_prediction':
        return Math.min(snr, gamma) / (snr + 1);
      case 'sample':
        return Math.min(snr, gamma);
    }
  });
}

function requireShape(what: string, value: Value, shape: readonly number[]): void {
  if (sameShape(value.shape, shape)) return;
  throw new BookendError(
    'invalid-argument',
    `The ${what} of a loss has the shape ${formatShape(value.shape)}; the model's answer asks for ${formatShape(shape)}.`,
  );
}
