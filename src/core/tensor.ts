import { allocate, type DType, encodeFloats, type TypedArray, toFloat32Array } from './dtype.ts';
import { BookendError } from './errors.ts';
import { elementCount, formatShape, type Shape } from './shape.ts';

/** Numbers with a shape, row-major. Pure data: it knows nothing of graphs or backends. */
export interface Tensor {
  readonly dtype: DType;
  readonly shape: Shape;
  readonly data: TypedArray;
}

/** Wraps `data`; throws `invalid-argument` when its length does not fit `shape`. */
export function tensor(dtype: DType, shape: Shape, data: TypedArray): Tensor {
  if (data.length !== elementCount(shape)) {
    throw new BookendError(
      'invalid-argument',
      `${data.length} elements do not fill a tensor of shape ${formatShape(shape)}; pass ${elementCount(shape)}.`,
    );
  }
  return { dtype, shape, data };
}

export function zeros(dtype: DType, shape: Shape): Tensor {
  return { dtype, shape, data: allocate(dtype, elementCount(shape)) };
}

/** A float32 tensor from plain numbers. */
export function f32(shape: Shape, values: ArrayLike<number>): Tensor {
  return tensor('f32', shape, Float32Array.from(values));
}

/** The same numbers stored in another floating type. */
export function castTensor(source: Tensor, dtype: DType): Tensor {
  if (source.dtype === dtype) return source;
  const values = toFloat32Array(source.dtype, source.data);
  return { dtype, shape: source.shape, data: encodeFloats(dtype, values) };
}

/** The elements as float32, without copying when they already are. */
export function floats(source: Tensor): Float32Array {
  return toFloat32Array(source.dtype, source.data);
}
