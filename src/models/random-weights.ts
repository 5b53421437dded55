import { BookendError } from '../core/errors.ts';
import { elementCount, type Shape } from '../core/shape.ts';
import { type Tensor, tensor } from '../core/tensor.ts';
import type { WeightSource } from '../runtime/backend.ts';
import type { ParameterShapes } from './parameters.ts';

/*
 * Numbers derived from a name alone, alike here and in test/golden/models/hashed_numbers.py, so that
 * neither fixtures nor benchmarks need weights. Element i of the tensor NAME is murmur3's 32-bit
 * finalizer (A. Appleby, MurmurHash3) of FNV-1a(NAME) + i · 0x9E3779B9, read as uniform in [-1, 1).
 */

/** Uniform in [center - bound, center + bound): computed in float64, rounded to float32. */
export function hashedUniform(name: string, shape: Shape, bound: number, center = 0): Tensor {
  const values = new Float32Array(elementCount(shape));
  const seed = fnv1a(name);
  for (let i = 0; i < values.length; i++) {
    values[i] = (hashedBits(seed, i) / 2147483648 - 1) * bound + center;
  }
  return tensor('f32', shape, values);
}

/**
 * A parameter that keeps activations near unit variance: matrices and kernels have the variance
 * 1 / fan-in, norm scales lie around one, biases around zero.
 */
export function hashedParameter(path: string, shape: Shape): Tensor {
  if (shape.length >= 2) {
    const fanIn = elementCount(shape.slice(1));
    return hashedUniform(path, shape, Math.sqrt(3 / fanIn));
  }
  return hashedUniform(path, shape, 0.2, path.endsWith('weight') ? 1 : 0);
}

/** A graph input of unit variance and zero mean. */
export function hashedInput(name: string, shape: Shape): Tensor {
  return hashedUniform(`input:${name}`, shape, Math.sqrt(3));
}

/** Token ids below `vocabSize`. */
export function hashedIds(name: string, shape: Shape, vocabSize: number): Tensor {
  const seed = fnv1a(`input:${name}`);
  const ids = Int32Array.from(
    { length: elementCount(shape) },
    (_, i) => hashedBits(seed, i) % vocabSize,
  );
  return tensor('s32', shape, ids);
}

function fnv1a(name: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash;
}

function hashedBits(seed: number, index: number): number {
  let word = (Math.imul(index, 0x9e3779b9) + seed) | 0;
  word = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
  word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
  return (word ^ (word >>> 16)) >>> 0;
}

/** Random weights for any model: nothing is kept, each read computes its tensor again. */
export function hashedWeights(expected: ParameterShapes): WeightSource {
  return {
    names: () => expected.keys(),
    info: (path) => {
      const shape = expected.get(path);
      return shape && { dtype: 'f32', shape };
    },
    async read(path) {
      const shape = expected.get(path);
      if (shape) return hashedParameter(path, shape);
      throw new BookendError(
        'missing-tensor',
        `There is no parameter ${path} in this model; check its path.`,
      );
    },
  };
}
