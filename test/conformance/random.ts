import { type DType, encodeFloats } from '../../src/core/dtype.ts';
import { elementCount, type Shape } from '../../src/core/shape.ts';
import type { Tensor } from '../../src/core/tensor.ts';

/** Bell-shaped noise (the sum of four uniforms): fast, and the same on every machine. */
export function noise(seed: number, count: number, deviation: number, mean = 0): Float32Array {
  const out = new Float32Array(count);
  let state = (Math.imul(seed + 1, 0x9e3779b1) ^ 0x5bd1e995) | 1;
  // Four uniforms of [0, 256) have the mean 510 and the variance 4 · (256² - 1) / 12.
  const scale = deviation / Math.sqrt((4 * (65536 - 1)) / 12);
  for (let i = 0; i < count; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    const sum =
      (state & 255) + ((state >>> 8) & 255) + ((state >>> 16) & 255) + ((state >>> 24) & 255);
    out[i] = (sum - 510) * scale + mean;
  }
  return out;
}

/** Noise stored as `dtype`. */
export function noiseTensor(
  seed: number,
  dtype: DType,
  shape: Shape,
  deviation = 1,
  mean = 0,
): Tensor {
  const values = noise(seed, elementCount(shape), deviation, mean);
  return { dtype, shape, data: encodeFloats(dtype, values) };
}
