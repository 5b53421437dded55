import { BookendError } from '../core/errors.ts';
import { elementCount, formatShape, type Shape } from '../core/shape.ts';
import { floats, type Tensor } from '../core/tensor.ts';
import type { Value } from '../ir/graph.ts';
import { isFloating } from '../ir/ops/rules.ts';
import type { WeightSource } from '../runtime/backend.ts';
import { type ElementType, elementBytes } from './model-proto.ts';

/** How a parameter is stored, where its own shape does not suit the ONNX op that reads it. */
export interface ParameterForm {
  /** Another shape of as many elements. */
  readonly shape?: Shape;
  /** Rows and columns exchanged: ONNX multiplies by [I, O] where weights are [O, I]. */
  readonly transpose?: boolean;
}

/** A constant of the model; parameters are read when the file is written, one by one. */
export interface Initializer {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: Shape;
  readonly source: Numbers | { readonly path: string; readonly form: ParameterForm };
}

type Numbers = Float32Array | Uint8Array | BigInt64Array;

/** Bytes that the initializer takes. */
export function byteLengthOf({ type, shape }: Initializer): number {
  return elementCount(shape) * elementBytes(type);
}

/** The initializers of a model, each once however often it is asked for. */
export class Initializers {
  readonly #byKey = new Map<string, Initializer>();
  readonly #unique: (wanted: string) => string;

  /** @param unique gives a name that nothing else has, the wanted one if possible */
  constructor(unique: (wanted: string) => string) {
    this.#unique = unique;
  }

  all(): Initializer[] {
    return [...this.#byKey.values()];
  }

  /** The name of the parameter at `path` in that form. */
  parameter(path: string, value: Value, form: ParameterForm): string {
    const transposed = form.transpose ? value.shape.toReversed() : value.shape;
    const shape = form.shape ?? transposed;
    const key = `parameter ${path} ${form.transpose ? 'transposed' : ''}${formatShape(shape)}`;
    const type = requireExported(value, `Parameter ${path}`);
    return this.#get(key, () => ({
      name: this.#unique(form.transpose ? `${path}.transposed` : path),
      type,
      shape,
      source: { path, form },
    }));
  }

  scalar(value: number): string {
    return this.#constant('f32', [], Float32Array.of(value));
  }

  floats(shape: Shape, values: ArrayLike<number>): string {
    return this.#constant('f32', shape, Float32Array.from(values));
  }

  /** A vector of shapes, axes, sizes or indices. */
  integers(values: readonly number[]): string {
    return this.#constant('s64', [values.length], BigInt64Array.from(values, BigInt));
  }

  code(value: number): string {
    return this.#constant('u8', [], Uint8Array.of(value));
  }

  #constant(type: ElementType, shape: Shape, data: Numbers): string {
    return this.#get(`${type}${formatShape(shape)} ${data.join(' ')}`, () => ({
      name: this.#unique(`constant.${this.#byKey.size}`),
      type,
      shape,
      source: data,
    }));
  }

  #get(key: string, make: () => Initializer): string {
    const found = this.#byKey.get(key) ?? make();
    this.#byKey.set(key, found);
    return found.name;
  }
}

/**
 * What ONNX calls the dtype of `value`.
 *
 * @throws BookendError `unsupported` for floats of 16 bits
 */
export function requireExported({ dtype }: Pick<Value, 'dtype'>, what: string): ElementType {
  if (dtype === 'bf16' || dtype === 'f16') {
    throw new BookendError(
      'unsupported',
      `${what} is stored as ${dtype}, and ONNX files compute in f32; export a graph of precision f32.`,
    );
  }
  return dtype;
}

/** The bytes of an initializer; numbers of another floating type in `weights` are cast to f32. */
export async function readInitializer(
  { type, source }: Initializer,
  weights: WeightSource,
): Promise<Uint8Array> {
  if (!('path' in source)) return asBytes(source);
  const { path, form } = source;
  const stored = await weights.read(path);
  const isFloat = type === 'f32' && isFloating(stored.dtype);
  if (!isFloat && stored.dtype !== type) {
    throw new BookendError(
      'invalid-checkpoint',
      `Tensor ${path} is stored as ${stored.dtype} where the graph has ${type}; use a checkpoint that was quantized for it.`,
    );
  }
  const data = isFloat ? floats(stored) : stored.data;
  return asBytes(form.transpose ? transpose(stored.shape, data) : data);
}

/** Every platform that Bookend has native code for is little-endian, as ONNX's raw data is. */
function asBytes(data: Tensor['data'] | BigInt64Array): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function transpose([rows, columns]: Shape, data: Tensor['data']): Tensor['data'] {
  const out = data.slice();
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      out[column * rows + row] = data[row * columns + column];
    }
  }
  return out;
}
