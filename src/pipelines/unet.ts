import { BookendError } from '../core/errors.ts';
import { timeInTurn } from '../core/stopwatch.ts';
import { zeros } from '../core/tensor.ts';
import type { Graph } from '../ir/graph.ts';
import type { Executable } from '../runtime/backend.ts';
import { type Compile, CompiledModel, type Lease } from './compiled-model.ts';
import { bestPrecision } from './cpu-precision.ts';
import type { StepSeconds } from './precision-plan.ts';
import type { HighPrecision, Precision } from './request.ts';
import { cutUNet, type UNetParts } from './unet-parts.ts';
import { type Family, type Step, type UNetPlan, UNetRun, type UNetSize } from './unet-run.ts';

/** Makes the INT8 form of a U-Net's graph. Ranges of timesteps, "buckets", have scales of their own. */
export interface UNetQuantizer {
  readonly buckets: number;
  /** Paths of the layers that it quantizes. */
  readonly layers: readonly string[];
  bucketAt(timestep: number): number;
  /** From a graph of which `cutUNet` has taken the parts that stay as they are. */
  quantize(graph: Graph, bucket: number): Graph;
  /** One that quantizes this layer and leaves all else as it is. */
  alone(layer: string): UNetQuantizer;
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

/** Small networks are timed several times, in all for so long. */
const ENOUGH_SECONDS = 0.5;

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
  readonly #compile: Compile;
  readonly #model: CompiledModel<PartSize>;
  /** A cache, which networks that differ in their INT8 form alone have in common. */
  readonly #parts: Map<string, UNetParts>;
  readonly #seconds = new Map<string, Partial<Record<Precision, number>>>();

  /** `compile` takes graphs as they are, after all passes. */
  constructor(
    build: (size: UNetSize) => Graph,
    compile: Compile,
    { origin, quantizer }: UNetOptions,
    parts = new Map<string, UNetParts>(),
  ) {
    this.#build = build;
    this.#quantizer = quantizer;
    this.#origin = origin;
    this.#compile = compile;
    this.#parts = parts;
    const programs = 2 * 3 + (quantizer?.buckets ?? 0);
    this.#model = new CompiledModel((size) => this.#graph(size), compile, SIZES * programs);
  }

  /** @throws BookendError `invalid-argument` where there is no INT8 */
  requireInt8(): UNetQuantizer {
    if (this.#quantizer) return this.#quantizer;
    throw new BookendError(
      'invalid-argument',
      `${this.#origin} was not quantized for INT8 arithmetic; make a model that is with \`bookend quantize ${this.#origin} --out DIR\`, or choose fp32 or bf16.`,
    );
  }

  /** The same network with another INT8 form, over the same weights; to be disposed of by itself. */
  quantizedBy(quantizer: UNetQuantizer): UNet {
    const options = { origin: this.#origin, quantizer };
    return new UNet(this.#build, this.#compile, options, this.#parts);
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

  /**
   * Seconds of one evaluation in each of `wanted` at this size, timed when first asked for. What is
   * computed does not change how long it takes, so it is zeros.
   */
  async stepSeconds(
    size: UNetSize,
    timestep: number,
    wanted: readonly Precision[],
    signal?: AbortSignal,
  ): Promise<StepSeconds> {
    const { batch, height, width, tokens } = size;
    const key = JSON.stringify([batch, height, width, tokens]);
    const known = this.#seconds.get(key) ?? {};
    const missing = wanted.filter((precision) => known[precision] === undefined);
    if (missing.length === 0) return known;
    const timesteps = missing.map(() => timestep);
    const run = await this.prepare({ size, prompts: batch, timesteps, schedule: missing });
    try {
      const { sample, encoderHiddenStates, timestepCondition } = this.#build(size).inputs;
      await run.condition(
        {
          ...(encoderHiddenStates && {
            encoderHiddenStates: zeros('f32', encoderHiddenStates.shape),
          }),
          ...(timestepCondition && {
            timestepCondition: zeros('f32', [1, timestepCondition.shape[1]]),
          }),
        },
        signal,
      );
      const input = zeros('f32', sample.shape);
      const times = await timeInTurn(
        missing.map((_, i) => () => run.predict(input, i, signal)),
        ENOUGH_SECONDS,
      );
      for (const [i, precision] of missing.entries()) known[precision] = times[i];
    } finally {
      run.release();
    }
    this.#seconds.set(key, known);
    return known;
  }

  /** Runs under way are refused their next step. */
  dispose(): void {
    this.#model.dispose();
  }

  #variant(precision: Precision, timestep: number) {
    if (precision !== 'int8') return { part: 'rest', precision } as const;
    const bucket = this.requireInt8().bucketAt(timestep);
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
    return this.requireInt8().quantize(parts.rest, bucket);
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
