/** What the optimizer's kernels compute, in plain loops: the same bits. */
import type { NamedArrays } from '../../src/core/named-arrays.ts';
import type { AdamWOptions } from '../../src/training/adamw.ts';

const f32 = Math.fround;
const BLOCK = 2 ** 16;
const SUMS = 8;

export function oracleNorm(gradients: NamedArrays): number {
  let total = 0;
  for (const gradient of gradients.values()) {
    let sum = 0;
    for (let begin = 0; begin < gradient.length; begin += BLOCK) {
      sum += sumOfSquares(gradient.subarray(begin, begin + BLOCK));
    }
    total += sum;
  }
  return Math.sqrt(total);
}

function sumOfSquares(block: Float32Array): number {
  const sums = new Float64Array(SUMS);
  for (const [i, x] of block.entries()) sums[i % SUMS] += x * x;
  return sums.reduce((total, sum) => total + sum, 0);
}

/** Multiplies all gradients in place. */
export function oracleScale(gradients: NamedArrays, factor: number): void {
  for (const gradient of gradients.values()) {
    for (let i = 0; i < gradient.length; i++) gradient[i] *= factor;
  }
}

/** Adds `gradient`, one of `batches`, or begins with it. */
export function oracleAccumulate(
  sum: Float32Array,
  gradient: Float32Array,
  batches: number,
  isFirst: boolean,
): void {
  const weight = f32(1 / batches);
  for (let i = 0; i < sum.length; i++) {
    const part = f32(weight * gradient[i]);
    sum[i] = isFirst ? part : sum[i] + part;
  }
}

export interface OracleArrays {
  readonly parameter: Float32Array;
  readonly gradient: Float32Array;
  readonly first: Float32Array;
  readonly second: Float32Array;
}

/** The `step`-th step, from 1; every operation is rounded to float32, in PyTorch's order. */
export function oracleAdamW(
  { parameter, gradient, first, second }: OracleArrays,
  step: number,
  learningRate: number,
  { beta1, beta2, epsilon, weightDecay }: AdamWOptions,
): void {
  const keep = f32(1 - learningRate * weightDecay);
  const correction = f32(Math.sqrt(1 - beta2 ** step));
  const stepSize = f32(learningRate / (1 - beta1 ** step));
  for (let i = 0; i < parameter.length; i++) {
    const g = gradient[i];
    const decayed = f32(parameter[i] * keep);
    // The product is exact in float64, so the sum is rounded like torch.lerp's fused multiply-add.
    const m = f32(first[i] + f32(1 - beta1) * f32(g - first[i]));
    const v = f32(f32(second[i] * f32(beta2)) + f32(f32(f32(1 - beta2) * g) * g));
    const root = f32(f32(f32(Math.sqrt(v)) / correction) + f32(epsilon));
    first[i] = m;
    second[i] = v;
    parameter[i] = decayed - f32(f32(stepSize * m) / root);
  }
}

export function oracleAverage(average: Float32Array, parameter: Float32Array, decay: number): void {
  const rate = f32(1 - decay);
  for (let i = 0; i < parameter.length; i++) {
    average[i] -= f32(rate * f32(average[i] - parameter[i]));
  }
}
