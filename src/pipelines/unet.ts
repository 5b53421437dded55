import { BookendError } from '../core/errors.ts';
import { elementCount } from '../core/shape.ts';
import { type Tensor, tensor } from '../core/tensor.ts';
import type { Graph } from '../ir/graph.ts';
import type { UNet2DConditionSize } from '../models/unet-2d-condition.ts';
import type { Executable } from '../runtime/backend.ts';
import { bestPrecision } from './best-precision.ts';
import { type Compile, CompiledModel, type Lease } from './compiled-model.ts';
import type { HighPrecision, Precision } from './request.ts';
import { cutUNet, type UNetParts } from './unet-parts.ts';

/** Makes the INT8 form of a U-Net's graph. Ranges of timesteps, "buckets", have scales of their own. */
export interface UNetQuantizer {
  readonly buckets: number;
  bucketAt(timestep: number): number;
  /** From a graph of which `cutUNet` has taken the parts that stay as they are. */
  quantize(graph: Graph, bucket: number): Graph;
}

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

export interface UNetOptions {
  /** Where it was loaded from, for errors. */
  readonly origin: string;
  /** Absent where there is no INT8. */
  readonly quantizer?: UNetQuantizer;
}

type Part =
  | { readonly part: 'time' | 'text'; readonly precision: HighPrecision }
  | { readonly part: 'rest'; readonly precision: HighPrecision; readonly bucket?: number };
type PartSize = UNetSize & Part;

/** Sizes of which all parts stay compiled. */
const SIZES = 4;

/**
 * A U-Net in every precision that is asked of it. What follows from the timesteps alone is computed
 * once for a run, and what follows from the text once for a prompt, in high precision; all of them
 * share packed weights and one arena.
 */
export class UNet {
  readonly #build: (size: UNetSize) => Graph;
  readonly #quantizer: UNetQuantizer | undefined;
  readonly #origin: string;
  readonly #model: CompiledModel<PartSize>;
  readonly #parts = new Map<string, UNetParts>();

  /** `compile` takes graphs as they are, after all passes. */
  constructor(
    build: (size: UNetSize) => Graph,
    compile: Compile,
    { origin, quantizer }: UNetOptions,
  ) {
    this.#build = build;
    this.#quantizer = quantizer;
    this.#origin = origin;
    const programs = 2 * 3 + (quantizer?.buckets ?? 0);
    this.#model = new CompiledModel((size) => this.#graph(size), compile, SIZES * programs);
  }

  /** Whether INT8 can be asked for. */
  get quantized(): boolean {
    return this.#quantizer !== undefined;
  }

  /**
   * Compiles all that the run will need, so that what does not fit in memory is refused before
   * anything is computed, and changing precision between steps costs nothing.
   *
   * @throws BookendError `invalid-argument` for INT8 of a model that has none, or after `dispose`;
   * as compiling does
   */
  async prepare(plan: UNetPlan): Promise<UNetRun> {
    const leases: Lease[] = [];
    const lease = async (size: PartSize) => {
      const taken = await this.#model.lease(size);
      leases.push(taken);
      return taken.executable;
    };
    const release = () => {
      for (const taken of leases.splice(0)) taken.release();
    };
    try {
      const times = [...new Set(plan.timesteps)];
      const families = new Map<HighPrecision, Family>();
      const rests = new Map<string, Executable>();
      const steps: Step[] = [];
      for (const [i, timestep] of plan.timesteps.entries()) {
        const variant = this.#variant(plan.schedule[i], timestep);
        const { precision } = variant;
        const family =
          families.get(precision) ?? (await this.#family(plan, times.length, precision, lease));
        families.set(precision, family);
        const key = JSON.stringify(variant);
        const rest = rests.get(key) ?? (await lease({ ...plan.size, ...variant }));
        rests.set(key, rest);
        steps.push({ family, rest, row: times.indexOf(timestep) });
      }
      const requireUsable = () => this.#model.requireUsable();
      return new UNetRun(plan, times, [...families.values()], steps, { requireUsable, release });
    } catch (error) {
      release();
      throw error;
    }
  }

  /** Runs under way are refused their next step. */
  dispose(): void {
    this.#model.dispose();
    this.#parts.clear();
  }

  #variant(precision: Precision, timestep: number) {
    if (precision !== 'int8') return { part: 'rest', precision } as const;
    const bucket = requireQuantizer(this.#quantizer, this.#origin).bucketAt(timestep);
    return { part: 'rest', precision: bestPrecision(), bucket } as const;
  }

  async #family(
    { size, prompts = 1 }: UNetPlan,
    times: number,
    precision: HighPrecision,
    lease: (size: PartSize) => Promise<Executable>,
  ): Promise<Family> {
    const parts = this.#cut(size, precision);
    const part = async (part: 'time' | 'text', batch: number) =>
      parts[part] && lease({ ...size, batch, part, precision });
    return {
      time: await part('time', times),
      text: await part('text', prompts),
      inputs: new Set(Object.keys(parts.rest.inputs)),
      rows: new Map(),
    };
  }

  #graph({ part, precision, bucket, ...size }: PartSize & { readonly bucket?: number }): Graph {
    const parts = this.#cut(size, precision);
    if (part !== 'rest') return parts[part]!;
    if (bucket === undefined) return parts.rest;
    return requireQuantizer(this.#quantizer, this.#origin).quantize(parts.rest, bucket);
  }

  /** Keeps the latest, for several programs come from each; prefixes have batches of their own. */
  #cut(size: UNetSize, precision: HighPrecision): UNetParts {
    const { batch, height, width, tokens } = size;
    const key = JSON.stringify([precision, batch, height, width, tokens]);
    const parts = this.#parts.get(key) ?? cutUNet(this.#build(size), precision);
    this.#parts.delete(key);
    this.#parts.set(key, parts);
    for (const oldest of this.#parts.keys()) {
      if (this.#parts.size <= 2 * SIZES) break;
      this.#parts.delete(oldest);
    }
    return parts;
  }
}

/** What the U-Nets of one floating-point precision, and INT8 ones made of them, have in common. */
interface Family {
  readonly time: Executable | undefined;
  readonly text: Executable | undefined;
  /** Of the rest. */
  readonly inputs: ReadonlySet<string>;
  /** What is fed at each step: for the text the whole batch, for the time a row a timestep. */
  readonly rows: Map<string, { readonly tensor: Tensor; readonly perTimestep: boolean }>;
}

interface Step {
  readonly family: Family;
  readonly rest: Executable;
  /** Of the time prefix. */
  readonly row: number;
}

interface Ownership {
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

function requireQuantizer(quantizer: UNetQuantizer | undefined, origin: string): UNetQuantizer {
  if (quantizer) return quantizer;
  throw new BookendError(
    'invalid-argument',
    `${origin} is not quantized, so there is no INT8 to run; make a model that is with \`bookend quantize ${origin} --out DIR\`, or choose fp32 or bf16.`,
  );
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
