import { BookendError } from '../core/errors.ts';
import type { Tensor } from '../core/tensor.ts';
import type { Graph, Value } from '../ir/graph.ts';
import { observe } from '../ir/ops/observe.ts';
import { type LayerInput, layerInputs } from '../passes/layer-inputs.ts';
import type { Pass } from '../passes/pass.ts';
import { copyInto } from '../passes/rewrite.ts';
import { addObservation, emptyStatistics, type TensorStatistics } from './observers/statistics.ts';
import { equalRanges } from './quantized-model.ts';

/** A tensor that quantized layers read, each once however many read it. */
export interface ObservedInput {
  /** Its first reader: 'down_blocks.0.resnets.0.conv1.x'. */
  readonly name: string;
  readonly readers: readonly LayerInput[];
  readonly channels: number;
}

const FIELDS = ['histogram', 'range', 'sums', 'squares'] as const;

/** What the layers named `layers` read in `graph`, which is ready for inference. */
export function observedInputs(graph: Graph, layers: Iterable<string>): readonly ObservedInput[] {
  return [...layerInputs(graph, layers)].map(([value, readers]) => observedInput(value, readers));
}

function observedInput({ shape }: Value, readers: readonly LayerInput[]): ObservedInput {
  const [{ layer, operand }] = readers;
  return { name: `${layer}.${operand}`, readers, channels: shape[shape.length - 1] };
}

/** Adds the statistics of every observed input to the graph's outputs; runs after all others. */
export function observeLayerInputs(layers: readonly string[]): Pass {
  const run = (graph: Graph): Graph => {
    const { b, map } = copyInto(graph);
    for (const [name, value] of Object.entries(graph.outputs)) b.output(name, map(value));
    for (const [value, readers] of layerInputs(graph, layers)) {
      const { name } = observedInput(value, readers);
      const observation = observe(b, map(value));
      for (const field of FIELDS) b.output(outputName(name, field), observation[field]);
    }
    return b.finish();
  };
  return { name: 'observe-layer-inputs', run };
}

function outputName(input: string, field: (typeof FIELDS)[number]): string {
  return `${input}.${field}`;
}

/** What calibration knows so far: statistics of every observed input in every timestep bucket. */
export class Calibration {
  readonly inputs: readonly ObservedInput[];
  readonly #trainTimesteps: number;
  readonly #momentum: number;
  /** [bucket][input] */
  readonly #statistics: readonly (readonly TensorStatistics[])[];

  constructor(
    inputs: readonly ObservedInput[],
    {
      buckets,
      trainTimesteps,
      momentum,
    }: { readonly buckets: number; readonly trainTimesteps: number; readonly momentum: number },
  ) {
    this.inputs = inputs;
    this.#trainTimesteps = trainTimesteps;
    this.#momentum = momentum;
    this.#statistics = Array.from({ length: buckets }, () =>
      inputs.map(({ channels }) => emptyStatistics(channels)),
    );
  }

  get buckets(): number {
    return this.#statistics.length;
  }

  /**
   * Adds what one run of the observed network said.
   *
   * @throws BookendError `non-finite`, `invalid-argument` as `addObservation` does
   */
  add(timestep: number, outputs: Readonly<Record<string, Tensor>>): void {
    const ranges = equalRanges(this.#trainTimesteps, this.buckets);
    const later = ranges.findIndex(({ minTimestep }) => timestep < minTimestep);
    const bucket = this.#statistics[later < 0 ? ranges.length - 1 : Math.max(later - 1, 0)];
    for (const [i, { name }] of this.inputs.entries()) {
      const field = (of: (typeof FIELDS)[number]) => outputs[outputName(name, of)].data;
      const observation = {
        histogram: field('histogram'),
        range: field('range'),
        sums: field('sums'),
        squares: field('squares'),
      };
      addObservation(bucket[i], observation, this.#momentum, name);
    }
  }

  /** Statistics of the observed input of that index, bucket by bucket. */
  of(input: number): readonly TensorStatistics[] {
    return this.#statistics.map((bucket) => bucket[input]);
  }

  /** @throws BookendError `invalid-argument` when no step fell into one of the buckets */
  requireEveryBucket(): void {
    const empty = this.#statistics.findIndex(([first]) => Number.isNaN(first.extremes[2]));
    if (empty < 0) return;
    const { minTimestep, maxTimestep } = equalRanges(this.#trainTimesteps, this.buckets)[empty];
    throw new BookendError(
      'invalid-argument',
      `No calibration step fell into the timesteps ${minTimestep} to ${maxTimestep}; use more steps or fewer buckets.`,
    );
  }

  /** The statistics as tensors to store, and to fill from what was stored. */
  tensors(): ReadonlyMap<string, Tensor> {
    const tensors = new Map<string, Tensor>();
    for (const [bucket, list] of this.#statistics.entries()) {
      for (const [i, { counts, sums, squares, extremes }] of list.entries()) {
        const add = (field: string, dtype: 's32' | 'f32', data: Int32Array | Float32Array) =>
          tensors.set(`${bucket}.${this.inputs[i].name}.${field}`, {
            dtype,
            shape: [data.length],
            data,
          });
        add('counts', 's32', counts);
        add('sums', 'f32', sums);
        add('squares', 'f32', squares);
        add('extremes', 'f32', extremes);
      }
    }
    return tensors;
  }
}
