import { BookendError } from '../core/errors.ts';
import { counterpart, type NamedArrays, requireSameNames, zerosLike } from './named-arrays.ts';

/**
 * The mean of the gradients of several batches, for optimizer steps over more samples than fit into
 * memory at once. Empty between optimizer steps, which is when checkpoints are written.
 */
export class GradientAccumulation {
  readonly #sums: NamedArrays;
  readonly #batches: number;
  #added = 0;

  /**
   * @param batches for each optimizer step; at least 1
   * @throws BookendError `invalid-argument`
   */
  constructor(parameters: NamedArrays, batches: number) {
    if (!Number.isInteger(batches) || batches < 1) {
      throw new BookendError(
        'invalid-argument',
        `Gradients cannot be accumulated over ${batches} batches; give a whole number of at least 1.`,
      );
    }
    this.#sums = zerosLike(parameters);
    this.#batches = batches;
  }

  /**
   * Adds the gradients of one batch.
   *
   * @returns the mean once all batches are in, else undefined; it is valid until the next `add`
   * @throws BookendError `invalid-argument` for gradients of another model
   */
  add(gradients: NamedArrays): NamedArrays | undefined {
    requireSameNames('gradients', gradients, this.#sums);
    const weight = Math.fround(1 / this.#batches);
    const isFirst = this.#added === 0;
    for (const [name, sum] of this.#sums) {
      const gradient = counterpart('gradients', gradients, name, sum.length);
      for (let i = 0; i < sum.length; i++) {
        const part = Math.fround(weight * gradient[i]);
        sum[i] = isFirst ? part : sum[i] + part;
      }
    }
    this.#added = (this.#added + 1) % this.#batches;
    return this.#added === 0 ? this.#sums : undefined;
  }
}
