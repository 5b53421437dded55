import { BookendError } from '../core/errors.ts';
import { elementCount } from '../core/shape.ts';
import { type Tensor, tensor } from '../core/tensor.ts';
import type { UNet2DConditionSize } from '../models/unet-2d-condition.ts';
import type { Executable } from '../runtime/backend.ts';
import type { Precision } from './request.ts';

/** What a U-Net's graph is sized by: its samples, and the text, of 0 tokens if it reads none. */
export type UNetSize = UNet2DConditionSize;

/** A run that a U-Net is to be made ready for. */
export interface UNetPlan {
  readonly size: UNetSize;
  /** Rows of text that the batch consists of, each as often as the other; 1 by default. */
  readonly prompts?: number;
  /** Of each evaluation. */
  readonly timesteps: readonly number[];
  /** One for each of `timesteps`. */
  readonly schedule: readonly Precision[];
}

/** What a run depends on besides the sample: one row each, or one for each prompt. */
export interface UNetConditions {
  /** [1, width]: what distilled models are told. */
  readonly timestepCondition?: Tensor;
  /** [prompts, tokens, width]. */
  readonly encoderHiddenStates?: Tensor;
}

/** What the U-Nets of one floating-point precision, and INT8 ones made of them, have in common. */
export interface Family {
  readonly time: Executable | undefined;
  readonly text: Executable | undefined;
  /** Of the rest. */
  readonly inputs: ReadonlySet<string>;
  /** What is fed at each step: for the text the whole batch, for the time a row a timestep. */
  readonly rows: Map<string, { readonly tensor: Tensor; readonly perTimestep: boolean }>;
}

export interface Step {
  readonly family: Family;
  readonly rest: Executable;
  /** Of the time prefix. */
  readonly row: number;
}

export interface Ownership {
  /** @throws BookendError once the U-Net is disposed of */
  readonly requireUsable: () => void;
  readonly release: () => void;
}

/** A U-Net ready for one run. First `condition`, then `predict` step by step, then `release`. */
export class UNetRun {
  readonly #plan: UNetPlan;
  readonly #times: readonly number[];
  readonly #families: readonly Family[];
  readonly #steps: readonly Step[];
  readonly #ownership: Ownership;

  constructor(
    plan: UNetPlan,
    times: readonly number[],
    families: readonly Family[],
    steps: readonly Step[],
    ownership: Ownership,
  ) {
    this.#plan = plan;
    this.#times = times;
    this.#families = families;
    this.#steps = steps;
    this.#ownership = ownership;
  }

  /** Computes what all steps share. @throws BookendError `aborted`, or after `dispose` */
  async condition(conditions: UNetConditions, signal?: AbortSignal): Promise<void> {
    const { timestepCondition, encoderHiddenStates } = conditions;
    const times = this.#times.length;
    const { batch } = this.#plan.size;
    const time = {
      timestep: tensor('f32', [times], Float32Array.from(this.#times)),
      ...(timestepCondition && {
        timestepCondition: pickRows(timestepCondition, Array(times).fill(0)),
      }),
    };
    const text = { ...(encoderHiddenStates && { encoderHiddenStates }) };
    for (const { time: timePart, text: textPart, inputs, rows } of this.#families) {
      this.#ownership.requireUsable();
      const perTimestep = { ...time, ...(await timePart?.run(time, { signal })) };
      const perPrompt = { ...text, ...(await textPart?.run(text, { signal })) };
      for (const [name, value] of Object.entries(perTimestep)) {
        if (inputs.has(name)) rows.set(name, { tensor: value, perTimestep: true });
      }
      for (const [name, value] of Object.entries(perPrompt)) {
        const repeated = pickRows(value, repeats(value.shape[0], batch));
        if (inputs.has(name)) rows.set(name, { tensor: repeated, perTimestep: false });
      }
    }
  }

  /**
   * The U-Net's answer to `sample`, [batch, height, width, channels], at step `step` of the plan.
   *
   * @throws BookendError `non-finite` when it is NaN or infinite; `aborted`, or after `dispose`
   */
  async predict(sample: Tensor, step: number, signal?: AbortSignal): Promise<Float32Array> {
    this.#ownership.requireUsable();
    const { family, rest, row } = this.#steps[step];
    const rows = Array<number>(this.#plan.size.batch).fill(row);
    const inputs: Record<string, Tensor> = { sample };
    for (const [name, { tensor: value, perTimestep }] of family.rows) {
      inputs[name] = perTimestep ? pickRows(value, rows) : value;
    }
    const outputs = await rest.run(inputs, { signal });
    return requireFinite(outputs.sample.data as Float32Array, this.#plan.timesteps[step]);
  }

  release(): void {
    this.#ownership.release();
  }
}

/** Every row the same number of times: 0, 0, 1, 1 for two in a batch of four. */
function repeats(rows: number, batch: number): number[] {
  return Array.from({ length: batch }, (_, i) => Math.floor((i * rows) / batch));
}

/** Outermost slices of `source` by number, in that order. */
function pickRows({ dtype, shape, data }: Tensor, rows: readonly number[]): Tensor {
  const [count, ...inner] = shape;
  if (rows.length === count && rows.every((row, i) => row === i)) return { dtype, shape, data };
  const each = elementCount(inner);
  const Elements = data.constructor as new (length: number) => typeof data;
  const picked = new Elements(rows.length * each);
  for (const [i, row] of rows.entries()) {
    picked.set(data.subarray(row * each, (row + 1) * each), i * each);
  }
  return { dtype, shape: [rows.length, ...inner], data: picked };
}

/** The output itself. @throws BookendError `non-finite` */
function requireFinite(output: Float32Array, timestep: number): Float32Array {
  const found = output.find((value) => !Number.isFinite(value));
  if (found === undefined) return output;
  throw new BookendError(
    'non-finite',
    `The U-Net answered ${found} at timestep ${timestep} where a finite number was expected; look for damaged weights with \`bookend inspect --values\`, or compute in fp32.`,
  );
}
