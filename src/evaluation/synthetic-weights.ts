import { elementCount, type Shape } from '../core/shape.ts';
import { tensor } from '../core/tensor.ts';
import type { ParameterShapes } from '../models/parameters.ts';
import type { WeightSource } from '../runtime/backend.ts';

/** Length of the repeated noise; prime, so that no row of a weight repeats the one before it. */
const PERIOD = 1_000_003;

/**
 * Weights for a benchmark: noise of the scale that keeps activations near 1 through a deep network
 * (variance 1 / fan-in), norms that change nothing. Made on demand, since a U-Net's would fill
 * gigabytes; they say nothing about images.
 */
export function syntheticWeights(shapes: ParameterShapes): WeightSource {
  const noise = unitNoise();
  return {
    names: () => shapes.keys(),
    info(path) {
      const shape = shapes.get(path);
      return shape && { dtype: 'f32', shape };
    },
    async read(path) {
      const shape = shapes.get(path)!;
      const data = new Float32Array(elementCount(shape));
      if (shape.length > 1) fillNoise(data, noise, shape);
      else if (path.endsWith('weight')) data.fill(1);
      return tensor('f32', shape, data);
    },
  };
}

function fillNoise(data: Float32Array, noise: Float32Array, shape: Shape): void {
  const scale = 1 / Math.sqrt(data.length / shape[0]);
  const scaled = noise.map((value) => value * scale);
  for (let start = 0; start < data.length; start += PERIOD) {
    data.set(scaled.subarray(0, Math.min(PERIOD, data.length - start)), start);
  }
}

/** Uniform noise of variance 1 from a linear congruential generator (Numerical Recipes, 7.1). */
function unitNoise(): Float32Array {
  let state = 1;
  return Float32Array.from({ length: PERIOD }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state / 2 ** 31 - 1) * Math.sqrt(3);
  });
}
