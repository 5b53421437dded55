import { BookendError } from '../core/errors.ts';
import type { NamedArrays } from '../core/named-arrays.ts';
import { sharedFloats } from '../runtime/native/shared-floats.ts';

export type { NamedArrays };

/** Zeros under the same names and of the same lengths, in memory that kernels work on in place. */
export function zerosLike(arrays: NamedArrays): Map<string, Float32Array> {
  return new Map([...arrays].map(([name, { length }]) => [name, sharedFloats(length)]));
}

/** A copy in memory of its own, which kernels work on in place. */
export function copyOf(arrays: NamedArrays): Map<string, Float32Array> {
  const copy = zerosLike(arrays);
  for (const [name, data] of arrays) copy.get(name)!.set(data);
  return copy;
}

/** Whether no number is NaN or infinite. */
export function allFinite(data: Float32Array): boolean {
  let sum = 0;
  // 0 for finite numbers, else NaN, which stays; ten times faster than calling a function for each.
  for (let i = 0; i < data.length; i++) sum += data[i] * 0;
  return sum === 0;
}

/**
 * The array `name` of `arrays`, which stands beside another of `length` numbers.
 *
 * @param what the arrays in words, for the message
 * @throws BookendError `invalid-argument` where it is missing or of another length
 */
export function counterpart(
  what: string,
  arrays: NamedArrays,
  name: string,
  length: number,
): Float32Array {
  const found = arrays.get(name);
  if (found?.length === length) return found;
  const there = found ? `${found.length} numbers` : 'nothing';
  throw new BookendError(
    'invalid-argument',
    `The ${what} have ${there} for ${name}, which has ${length}; pass those of the same model.`,
  );
}

/** @throws BookendError `invalid-argument` where the two do not have the same names and lengths */
export function requireSameNames(what: string, arrays: NamedArrays, like: NamedArrays): void {
  for (const [name, { length }] of like) counterpart(what, arrays, name, length);
  for (const name of arrays.keys()) {
    if (like.has(name)) continue;
    throw new BookendError(
      'invalid-argument',
      `The ${what} have ${name}, which is not among the ${like.size} parameters; pass those of the same model.`,
    );
  }
}
