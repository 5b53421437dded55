import { BookendError } from '../core/errors.ts';

/** What random numbers are drawn for; each purpose has numbers of its own from one seed. */
export type RandomPurpose = keyof typeof STREAMS;

const STREAMS = {
  timesteps: 1,
  noise: 2,
  conditioning: 3,
  shuffling: 4,
  latents: 5,
  initialization: 6,
} as const;

export const randomPurposes = Object.keys(STREAMS) as RandomPurpose[];

/** Where a stream of random numbers stands; plain data, all that resuming needs. */
export interface RandomState {
  readonly seed: number;
  readonly purpose: RandomPurpose;
  /** Tells apart streams of one purpose, such as epochs; a whole number below 2^32. */
  readonly index: number;
  /** Blocks of four 32-bit words drawn so far. */
  readonly position: number;
}

const MULTIPLIERS = [0xd2511f53, 0xcd9e8d57] as const;
const KEY_STEPS = [0x9e3779b9, 0xbb67ae85] as const;
const ROUNDS = 10;

/**
 * Philox 4×32 with 10 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011,
 * section 4.3): a counter and a key to 128 random bits.
 */
export function philox(counter: ArrayLike<number>, key: ArrayLike<number>): Uint32Array {
  const [first, second] = MULTIPLIERS;
  let [a, b, c, d] = [counter[0], counter[1], counter[2], counter[3]];
  let [keyA, keyB] = [key[0], key[1]];
  for (let round = 0; round < ROUNDS; round++) {
    const highA = highProduct(first, a);
    const highC = highProduct(second, c);
    const [lowA, lowC] = [Math.imul(first, a), Math.imul(second, c)];
    [a, b, c, d] = [highC ^ b ^ keyA, lowC, highA ^ d ^ keyB, lowA];
    keyA = (keyA + KEY_STEPS[0]) >>> 0;
    keyB = (keyB + KEY_STEPS[1]) >>> 0;
  }
  return Uint32Array.of(a, b, c, d);
}

/** The upper 32 bits of the product of two unsigned 32-bit numbers. */
function highProduct(x: number, y: number): number {
  const [xHigh, xLow, yHigh, yLow] = [x >>> 16, x & 0xffff, y >>> 16, y & 0xffff];
  const middle = xHigh * yLow + ((xLow * yLow) >>> 16);
  const carry = (middle & 0xffff) + xLow * yHigh;
  return (xHigh * yHigh + Math.floor(middle / 2 ** 16) + Math.floor(carry / 2 ** 16)) >>> 0;
}

/**
 * Random numbers that depend on a `RandomState` alone, so that a run taken up again draws what it
 * would have drawn. Every call starts a new block, whatever the last one left over.
 */
export class RandomStream {
  readonly #seed: number;
  readonly #purpose: RandomPurpose;
  readonly #index: number;
  #position: number;

  /** @throws BookendError `invalid-argument` for numbers out of their ranges */
  constructor({ seed, purpose, index, position }: RandomState) {
    const isWhole = (x: number) => Number.isSafeInteger(x) && x >= 0;
    const known = Object.hasOwn(STREAMS, purpose);
    if (!(isWhole(seed) && known && isWhole(index) && index < 2 ** 32 && isWhole(position))) {
      throw new BookendError(
        'invalid-argument',
        `Random numbers were asked for with seed ${seed}, purpose ${purpose}, index ${index} and position ${position}; the numbers must be whole, not negative, and the index below 2^32.`,
      );
    }
    this.#seed = seed;
    this.#purpose = purpose;
    this.#index = index;
    this.#position = position;
  }

  /** A stream at its beginning. */
  static start(seed: number, purpose: RandomPurpose, index = 0): RandomStream {
    return new RandomStream({ seed, purpose, index, position: 0 });
  }

  get state(): RandomState {
    const [seed, purpose, index] = [this.#seed, this.#purpose, this.#index];
    return { seed, purpose, index, position: this.#position };
  }

  /** In [0, 1), a multiple of 2^-53. */
  uniform(): number {
    const [high, low] = this.#block();
    return ((high >>> 5) * 2 ** 26 + (low >>> 6)) * 2 ** -53;
  }

  /**
   * A whole number from 0 up to but not including `count`; all are equally likely to within
   * count · 2^-53.
   */
  below(count: number): number {
    return Math.floor(this.uniform() * count);
  }

  /** Multiples of 2^-24 in [0, 1), which float32 holds exactly. */
  uniforms(count: number): Float32Array {
    const out = new Float32Array(count);
    for (let i = 0; i < count; i += 4) {
      const words = this.#block();
      for (let lane = 0; lane < 4; lane++) out[i + lane] = (words[lane] >>> 8) * 2 ** -24;
    }
    return out;
  }

  /** Standard normal numbers (Box and Muller, 1958), rounded to float32. */
  normals(count: number): Float32Array {
    const out = new Float32Array(count);
    for (let i = 0; i < count; i += 4) {
      const words = this.#block();
      for (const pair of [0, 2]) {
        // In (0, 1], so that the logarithm is finite.
        const radius = Math.sqrt(-2 * Math.log((words[pair] + 1) * 2 ** -32));
        const angle = 2 * Math.PI * words[pair + 1] * 2 ** -32;
        out[i + pair] = radius * Math.cos(angle);
        out[i + pair + 1] = radius * Math.sin(angle);
      }
    }
    return out;
  }

  #block(): Uint32Array {
    const position = this.#position++;
    const counter = [...words(position), this.#index, STREAMS[this.#purpose]];
    return philox(counter, words(this.#seed));
  }
}

/** The low and the high 32 bits. */
function words(x: number): [number, number] {
  return [x >>> 0, Math.floor(x / 2 ** 32)];
}

/** The numbers from 0 to `count` − 1 in random order (Fisher and Yates). */
export function shuffledOrder(count: number, stream: RandomStream): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = stream.below(i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}
