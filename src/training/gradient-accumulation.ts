import { BookendError } from '../core/errors.ts';
import { runOnArrays } from '../runtime/native/array-program.ts';
import { requireApart, sharedPlace } from '../runtime/native/shared-floats.ts';
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
   * @param gradients arrays of `sharedFloats`
   * @returns the mean once all batches are in, else undefined; it is valid until the next `add`
   * @throws BookendError `invalid-argument` for gradients of another model
   */
  async add(gradients: NamedArrays, threads?: number): Promise<NamedArrays | undefined> {
    requireSameNames('gradients', gradients, this.#sums);
    requireApart({ sum: this.#sums }, { gradient: gradients });
    const scale = Math.fround(1 / this.#batches);
    const adds = this.#added > 0;
    const instructions = [...this.#sums].map(([name, sum]) => ({
      op: 'accumulate',
      count: sum.length,
      scale,
      adds,
      x: sharedPlace(`gradient ${name}`, counterpart('gradients', gradients, name, sum.length)),
      sum: sharedPlace(`sum ${name}`, sum),
    }));
    await runOnArrays({ instructions, threads });
    this.#added = (this.#added + 1) % this.#batches;
    return this.#added === 0 ? this.#sums : undefined;
  }
}
