import { BookendError } from '../../core/errors.ts';
import { RandomStream, shuffledOrder } from '../random-stream.ts';

/** How far a run has come through its data; plain data, all that resuming needs. */
export interface EpochPosition {
  /** Complete passes over the data. */
  readonly epoch: number;
  /** Samples taken in the current pass. */
  readonly taken: number;
}

/**
 * The order in which samples are taken: every epoch takes each once, in an order of its own that
 * depends on the seed and the epoch alone. Batches are always full and run over into the next epoch.
 */
export class EpochOrder {
  readonly #count: number;
  readonly #seed: number;
  #position: EpochPosition;
  #order: Uint32Array;

  /**
   * @param count samples of the data set, at least 1
   * @param position where to go on, from the same data set and seed
   * @throws BookendError `invalid-argument`
   */
  constructor(count: number, seed: number, position: EpochPosition = { epoch: 0, taken: 0 }) {
    const isWhole = (x: number) => Number.isSafeInteger(x) && x >= 0;
    const { epoch, taken } = position;
    if (!(isWhole(count) && count > 0 && isWhole(epoch) && isWhole(taken) && taken < count)) {
      throw new BookendError(
        'invalid-argument',
        `A data set of ${count} samples cannot be taken up at sample ${taken} of epoch ${epoch}; resume with the data set that the run began with.`,
      );
    }
    this.#count = count;
    this.#seed = seed;
    this.#position = { epoch, taken };
    this.#order = this.#shuffled(epoch);
  }

  get position(): EpochPosition {
    return this.#position;
  }

  /** The indices of the next `size` samples. */
  next(size: number): number[] {
    const batch: number[] = [];
    let { epoch, taken } = this.#position;
    while (batch.length < size) {
      batch.push(this.#order[taken++]);
      if (taken < this.#count) continue;
      taken = 0;
      this.#order = this.#shuffled(++epoch);
    }
    this.#position = { epoch, taken };
    return batch;
  }

  #shuffled(epoch: number): Uint32Array {
    return shuffledOrder(this.#count, RandomStream.start(this.#seed, 'shuffling', epoch));
  }
}
