import { BookendError } from '../../core/errors.ts';
import type { QuantizationParams } from '../../core/quantization-params.ts';
import { type Tensor, tensor } from '../../core/tensor.ts';
import type { QuantizationSpec } from '../config.ts';
import { paramsOfRange, rangeOfParams } from '../observers/code-range.ts';
import type { QuantizedUNet } from '../quantized-model.ts';
import { type ActivationParams, bucketsOf, startingParams } from './activation-params.ts';
import { type FakeQuantizedInput, fakeQuantizationNames } from './prepare.ts';

export interface MovingRangeSettings {
  /** How far each sample moves the average towards its own range, above 0 and at most 1. */
  readonly momentum: number;
  /** The optimizer step from which on ranges stay as they are. */
  readonly freezeStep: number;
}

/**
 * Ranges of activations as moving averages of what training sees, for each timestep bucket, from the
 * ranges of a quantized model on. They are frozen after a while, so that weights settle to fixed codes.
 * Kept in float32: what was stored and taken up again goes on bit for bit.
 */
export class MovingRanges implements ActivationParams {
  readonly inputs: readonly FakeQuantizedInput[];
  readonly #scheme: QuantizationSpec['scheme'];
  readonly #settings: MovingRangeSettings;
  /** [input]: smallest and largest number, bucket by bucket. */
  readonly #ranges: readonly Float32Array[];

  /** @throws BookendError `invalid-argument` for a model without scales of these inputs */
  constructor(
    inputs: readonly FakeQuantizedInput[],
    model: Pick<QuantizedUNet, 'buckets' | 'config'>,
    settings: MovingRangeSettings,
  ) {
    this.inputs = inputs;
    this.#scheme = model.config.activations?.scheme ?? 'affine';
    this.#settings = settings;
    this.#ranges = inputs.map((input) =>
      Float32Array.from(
        startingParams(model, input).flatMap((params) => {
          const { min, max } = rangeOfParams(params);
          return [min, max];
        }),
      ),
    );
  }

  params(input: number, bucket: number): QuantizationParams {
    const [min, max] = this.#ranges[input].subarray(2 * bucket, 2 * bucket + 2);
    return paramsOfRange({ min, max }, this.#scheme);
  }

  /**
   * Moves the averages by what a run of the prepared graph saw.
   *
   * @param step of the optimizer, from 0 on
   * @param buckets of the batch's samples
   * @param outputs of a graph prepared with ranges `observed`
   * @throws BookendError `non-finite` for infinities and NaN, and then no average has moved
   */
  update(
    step: number,
    buckets: readonly number[],
    outputs: Readonly<Record<string, Tensor>>,
  ): void {
    const { momentum, freezeStep } = this.#settings;
    if (step >= freezeStep) return;
    const seen = this.inputs.map(({ name }) => outputs[fakeQuantizationNames(name).range].data);
    for (const [i, { name }] of this.inputs.entries()) {
      if (!(seen[i] as Float32Array).every(Number.isFinite)) throw nonFinite(name, step);
    }
    for (const [i, input] of this.inputs.entries()) {
      const ranges = this.#ranges[i];
      for (const [sample, bucket] of bucketsOf(input, buckets).entries()) {
        for (const end of [0, 1]) {
          const at = 2 * bucket + end;
          ranges[at] += momentum * (seen[i][2 * sample + end] - ranges[at]);
        }
      }
    }
  }

  tensors(): ReadonlyMap<string, Tensor> {
    return new Map(
      this.inputs.map(({ name }, i) => {
        const data = this.#ranges[i];
        return [
          fakeQuantizationNames(name).range,
          tensor('f32', [data.length / 2, 2], data.slice()),
        ];
      }),
    );
  }

  /** Goes on from what `tensors` gave. */
  restore(tensors: ReadonlyMap<string, Tensor>): void {
    restoreInto(
      tensors,
      new Map(
        this.inputs.map(({ name }, i) => [fakeQuantizationNames(name).range, this.#ranges[i]]),
      ),
    );
  }
}

/**
 * Overwrites `targets` with the stored tensors of their names.
 *
 * @throws BookendError `missing-tensor`, or `invalid-checkpoint` for another length or type
 */
export function restoreInto(
  tensors: ReadonlyMap<string, Tensor>,
  targets: ReadonlyMap<string, Float32Array>,
): void {
  for (const [name, target] of targets) {
    const stored = tensors.get(name);
    if (!stored) {
      throw new BookendError(
        'missing-tensor',
        `The stored activation ranges have no tensor ${name}; train again from the start.`,
      );
    }
    if (stored.dtype !== 'f32' || stored.data.length !== target.length) {
      throw new BookendError(
        'invalid-checkpoint',
        `The stored activation ranges have ${stored.data.length} numbers in ${stored.dtype} for ${name} instead of ${target.length} in f32; train again from the start.`,
      );
    }
  }
  for (const [name, target] of targets) target.set(tensors.get(name)!.data);
}

function nonFinite(name: string, step: number): BookendError {
  return new BookendError(
    'non-finite',
    `The input ${name} held infinity or NaN in training step ${step}; lower the learning rate.`,
  );
}
