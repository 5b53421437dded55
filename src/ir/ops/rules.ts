import type { DType } from '../../core/dtype.ts';
import { BookendError } from '../../core/errors.ts';
import { formatShape, type Shape } from '../../core/shape.ts';
import type { TensorType } from '../graph.ts';
import { reject } from '../op.ts';

const FLOATING: ReadonlySet<DType> = new Set(['f32', 'bf16', 'f16']);

export function isFloating(dtype: DType): boolean {
  return FLOATING.has(dtype);
}

export function requireFloating(name: string, type: TensorType): void {
  if (!isFloating(type.dtype)) {
    reject(`Operand ${name} is ${type.dtype}; it must be a floating type, so cast it first.`);
  }
}

export function requireSameDType(name: string, type: TensorType, dtype: DType): void {
  if (type.dtype !== dtype) {
    reject(`Operand ${name} is ${type.dtype} beside ${dtype}; cast one of them.`);
  }
}

export function requireShape(name: string, type: TensorType, expected: Shape): void {
  const same =
    type.shape.length === expected.length &&
    type.shape.every((extent, i) => extent === expected[i]);
  if (!same) {
    reject(
      `Operand ${name} has the shape ${formatShape(type.shape)}; it must be ${formatShape(expected)}.`,
    );
  }
}

export function requireRank(name: string, type: TensorType, rank: number): void {
  if (type.shape.length !== rank) {
    reject(`Operand ${name} has the shape ${formatShape(type.shape)}; it must have rank ${rank}.`);
  }
}

export function requireMinimumRank(name: string, type: TensorType, rank: number): void {
  if (type.shape.length < rank) {
    reject(
      `Operand ${name} has the shape ${formatShape(type.shape)}; it must have a rank of at least ${rank}.`,
    );
  }
}

/** Throws unless `value` is a whole number in [minimum, maximum]. */
export function requireWhole(
  name: string,
  value: number,
  minimum: number,
  maximum = Number.MAX_SAFE_INTEGER,
): void {
  if (!Number.isInteger(value) || value < minimum || value > maximum) {
    const range =
      maximum === Number.MAX_SAFE_INTEGER ? `at least ${minimum}` : `from ${minimum} to ${maximum}`;
    reject(`Attribute ${name} is ${value}; it must be a whole number ${range}.`);
  }
}

/** Ends the gradient rule of an op in a form that passes make of it. */
export function refuseFused(): never {
  throw new BookendError(
    'unsupported',
    'Its fused form has no gradient rule; differentiate the graph before fusing it.',
  );
}

/** Counts a negative axis from the end. */
export function resolveAxis(axis: number, shape: Shape): number {
  return axis < 0 ? axis + shape.length : axis;
}

export function product(extents: Shape): number {
  return extents.reduce((total, extent) => total * extent, 1);
}

/** Row-major strides, in elements. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length).fill(1);
  for (let i = shape.length - 2; i >= 0; i--) strides[i] = strides[i + 1] * shape[i + 1];
  return strides;
}

/** Calls `visit` with every multi-index of `shape`, row-major; the array passed is reused. */
export function forEachIndex(shape: Shape, visit: (index: readonly number[]) => void): void {
  const index = new Array<number>(shape.length).fill(0);
  const total = product(shape);
  for (let n = 0; n < total; n++) {
    visit(index);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      if (++index[axis] < shape[axis]) break;
      index[axis] = 0;
    }
  }
}
