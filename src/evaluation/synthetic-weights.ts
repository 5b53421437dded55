import { elementCount, type Shape } from '../core/shape.ts';
import { tensor } from '../core/tensor.ts';
import type { TensorType } from '../ir/graph.ts';
import type { WeightSource } from '../runtime/backend.ts';

/** Length of the repeated noise; prime, so that no row of a weight repeats the one before it. */
const PERIOD = 1_000_003;

/**
 * Weights for a benchmark: noise of the scale that keeps activations near 1 through a deep network
 * (variance 1 / fan-in), norms that change nothing. Made on demand, since a U-Net's would fill
 * gigabytes; they say nothing about images.
 */
export function syntheticWeights(parameters: ReadonlyMap<string, TensorType>): WeightSource {
  const noise = unitNoise();
  // There are few different widths, and scaling the noise takes longer than repeating it.
  const ofFanIn = new Map<number, Float32Array>();
  const noiseFor = (fanIn: number) => {
    const found = ofFanIn.get(fanIn) ?? noise.map((value) => value / Math.sqrt(fanIn));
    ofFanIn.set(fanIn, found);
    return found;
  };
  return {
    names: () => parameters.keys(),
    info(path) {
      const value = parameters.get(path);
      return value && { dtype: value.dtype === 's8' ? 's8' : 'f32', shape: value.shape };
    },
    async read(path) {
      const { dtype, shape } = parameters.get(path)!;
      if (dtype === 's8') return tensor('s8', shape, codes(noise, elementCount(shape)));
      const data = new Float32Array(elementCount(shape));
      if (path.endsWith('weight.scale')) data.fill(stepOf(parameters, path));
      else if (shape.length > 1) fillNoise(data, noiseFor(data.length / shape[0]));
      else if (path.endsWith('weight')) data.fill(1);
      return tensor('f32', shape, data);
    },
  };
}

/** s8 noise over the whole range. */
function codes(noise: Float32Array, length: number): Int8Array {
  const largest = Math.sqrt(3);
  const pattern = Int8Array.from(noise, (value) => Math.round((127 * value) / largest));
  const data = new Int8Array(length);
  for (let start = 0; start < length; start += PERIOD) {
    data.set(pattern.subarray(0, Math.min(PERIOD, length - start)), start);
  }
  return data;
}

function stepOf(parameters: ReadonlyMap<string, TensorType>, scalePath: string): number {
  return syntheticScale(parameters.get(scalePath.replace(/scale$/, 's8'))!.shape);
}

/** What one step of the s8 codes of a synthetic weight is worth: its variance is 1 / fan-in. */
export function syntheticScale(shape: Shape): number {
  return Math.sqrt(3 / (elementCount(shape) / shape[0])) / 127;
}

function fillNoise(data: Float32Array, scaled: Float32Array): void {
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
