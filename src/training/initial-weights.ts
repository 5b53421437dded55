import { elementCount, type Shape } from '../core/shape.ts';
import { type Tensor, tensor } from '../core/tensor.ts';
import { RandomStream } from './random-stream.ts';

/**
 * Parameters to train a network from, as PyTorch begins: weights and biases uniform within
 * ±1/√fan-in (He et al., "Delving Deep into Rectifiers", 2015, with the a = √5 of PyTorch's layers),
 * the scales of norms one and their shifts zero.
 *
 * @param shapes of all parameters, by path
 * @param seed of the draws; each parameter has draws of its own
 */
export function initialWeights(
  shapes: ReadonlyMap<string, Shape>,
  seed: number,
): ReadonlyMap<string, Tensor> {
  const weights = new Map<string, Tensor>();
  for (const [index, [path, shape]] of [...shapes].entries()) {
    const values = new Float32Array(elementCount(shape));
    const layer = shapes.get(path.replace(/\.bias$/, '.weight')) ?? shape;
    if (layer.length > 1) {
      const random = RandomStream.start(seed, 'initialization', index);
      const bound = 1 / Math.sqrt(elementCount(layer.slice(1)));
      for (const [i, x] of random.uniforms(values.length).entries())
        values[i] = (2 * x - 1) * bound;
    } else if (path.endsWith('.weight')) {
      values.fill(1);
    }
    weights.set(path, tensor('f32', shape, values));
  }
  return weights;
}
