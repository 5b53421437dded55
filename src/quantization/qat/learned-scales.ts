import type { QuantizationParams } from '../../core/quantization-params.ts';
import { type Tensor, tensor } from '../../core/tensor.ts';
import { gradientName } from '../../passes/differentiate.ts';
import type { QuantizedUNet } from '../quantized-model.ts';
import { type ActivationParams, bucketsOf, startingParams } from './activation-params.ts';
import { restoreInto } from './moving-ranges.ts';
import { type FakeQuantizedInput, fakeQuantizationNames } from './prepare.ts';

/**
 * Scales of activations as parameters of the training (Esser et al., arXiv 1902.08153), one for each
 * input and timestep bucket, from those of a quantized model on. Zero points stay. An optimizer writes
 * to the arrays of `scales`, and keeps them positive.
 */
export class LearnedScales implements ActivationParams {
  readonly inputs: readonly FakeQuantizedInput[];
  /** By input name: f32, one number for each bucket. */
  readonly scales: ReadonlyMap<string, Float32Array>;
  readonly #zeroPoints: readonly (readonly number[])[];

  /** @throws BookendError `invalid-argument` for a model without scales of these inputs */
  constructor(inputs: readonly FakeQuantizedInput[], model: Pick<QuantizedUNet, 'buckets'>) {
    this.inputs = inputs;
    const starting = inputs.map((input) => startingParams(model, input));
    this.scales = new Map(
      inputs.map(({ name }, i) => [name, Float32Array.from(starting[i], ({ scale }) => scale)]),
    );
    this.#zeroPoints = starting.map((params) => params.map(({ zeroPoint }) => zeroPoint));
  }

  params(input: number, bucket: number): QuantizationParams {
    const scale = this.scales.get(this.inputs[input].name)![bucket];
    return { scale, zeroPoint: this.#zeroPoints[input][bucket] };
  }

  /** What to differentiate a prepared graph with respect to: `withRespectTo`. */
  names(): readonly string[] {
    return this.inputs.map(({ name }) => fakeQuantizationNames(name).scale);
  }

  /**
   * Gradients of `scales` from those of a batch: samples of one bucket add up, and buckets that none is
   * of get zeros.
   */
  gradients(
    buckets: readonly number[],
    outputs: Readonly<Record<string, Tensor>>,
  ): ReadonlyMap<string, Float32Array> {
    return new Map(
      this.inputs.map((input) => {
        const { name } = input;
        const bySample = outputs[gradientName(fakeQuantizationNames(name).scale)].data;
        const sums = new Float32Array(this.scales.get(name)!.length);
        for (const [sample, bucket] of bucketsOf(input, buckets).entries()) {
          sums[bucket] += bySample[sample];
        }
        return [name, sums];
      }),
    );
  }

  tensors(): ReadonlyMap<string, Tensor> {
    return new Map(
      [...this.scales].map(([name, data]) => [
        fakeQuantizationNames(name).scale,
        tensor('f32', [data.length], data.slice()),
      ]),
    );
  }

  /** Goes on from what `tensors` gave. */
  restore(tensors: ReadonlyMap<string, Tensor>): void {
    const targets = [...this.scales].map(
      ([name, data]) => [fakeQuantizationNames(name).scale, data] as const,
    );
    restoreInto(tensors, new Map(targets));
  }
}
