import { BookendError } from '../core/errors.ts';
import type { Tensor } from '../core/tensor.ts';
import type { WeightSource } from './backend.ts';

/** A WeightSource over tensors in memory. */
export function memoryWeights(tensors: ReadonlyMap<string, Tensor>): WeightSource {
  return {
    names: () => tensors.keys(),
    info: (path) => tensors.get(path),
    async read(path) {
      const found = tensors.get(path);
      if (!found) {
        throw new BookendError(
          'missing-tensor',
          `There is no tensor ${path} among ${tensors.size} in memory; check its path.`,
        );
      }
      return found;
    },
  };
}
