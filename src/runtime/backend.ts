import type { DType } from '../core/dtype.ts';
import type { Shape } from '../core/shape.ts';
import type { Tensor } from '../core/tensor.ts';
import type { Graph } from '../ir/graph.ts';

/** Where a weight's bytes lie, for memory mapping. */
export interface WeightLocation {
  readonly file: string;
  /** Bytes from the start of the file. */
  readonly offset: number;
  readonly byteLength: number;
}

export interface WeightInfo {
  readonly dtype: DType;
  readonly shape: Shape;
}

/** Named tensors to read parameters from; the stored dtype may differ from the graph's. */
export interface WeightSource {
  names(): Iterable<string>;
  /** `undefined` when there is no tensor of that name. */
  info(path: string): WeightInfo | undefined;
  /** Throws `missing-tensor` when there is no tensor of that name. */
  read(path: string): Promise<Tensor>;
  /** Absent, or `undefined`, when the tensor does not lie in a file as it is. */
  locate?(path: string): WeightLocation | undefined;
}

export interface RunOptions {
  /** Stops the run between two nodes with the error code `aborted`. */
  readonly signal?: AbortSignal;
}

/** A graph made ready to run, any number of times. */
export interface Executable {
  /** Takes every graph input by name, of the graph's dtype and shape; gives every graph output. */
  run(
    inputs: Readonly<Record<string, Tensor>>,
    options?: RunOptions,
  ): Promise<Record<string, Tensor>>;
  /** Frees weights and buffers; a later `run` is an error. */
  dispose(): void;
}

/** Something that runs graphs. `Options` are the backend's own. */
export interface Backend<Options = Record<string, never>> {
  readonly name: string;
  /** Throws `missing-tensor` or `invalid-checkpoint` when `weights` does not fit the graph. */
  compile(graph: Graph, weights: WeightSource, options?: Options): Promise<Executable>;
}
