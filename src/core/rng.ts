import { BookendError } from './errors.ts';

const STATE_LENGTH = 624;
const SHIFT = 397;
const MAX_SEED = 2n ** 64n - 1n;

/**
 * The 32-bit Mersenne Twister, MT19937 (Matsumoto and Nishimura, "Mersenne Twister: a
 * 623-dimensionally equidistributed uniform pseudo-random number generator", 1998).
 */
class MersenneTwister {
  readonly #state = new Uint32Array(STATE_LENGTH);
  #position = STATE_LENGTH;

  constructor(seed: number) {
    const state = this.#state;
    state[0] = seed;
    for (let i = 1; i < STATE_LENGTH; i++) {
      const previous = state[i - 1] ^ (state[i - 1] >>> 30);
      state[i] = Math.imul(previous, 1812433253) + i;
    }
  }

  /** The next 32 random bits, as an unsigned number. */
  next(): number {
    if (this.#position === STATE_LENGTH) this.#refill();
    let y = this.#state[this.#position++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  #refill(): void {
    const state = this.#state;
    for (let i = 0; i < STATE_LENGTH; i++) {
      const y = (state[i] & 0x80000000) | (state[(i + 1) % STATE_LENGTH] & 0x7fffffff);
      const twist = y & 1 ? 0x9908b0df : 0;
      state[i] = state[(i + SHIFT) % STATE_LENGTH] ^ (y >>> 1) ^ twist;
    }
    this.#position = 0;
  }
}

/**
 * Random numbers equal to those of PyTorch's CPU generator, so that one seed gives one image in
 * both: `uniformFloat32(n)` is `torch.rand(n)` bit for bit, `normalFloat32(n)` is `torch.randn(n)`
 * to 1e-6 (torch's own vectorised logarithm and sine are that far from exact). State carries over
 * between calls as it does there.
 */
export class TorchGenerator {
  readonly #engine: MersenneTwister;
  /** The second value of a Box–Muller pair drawn one at a time; only short draws make and use it. */
  #spareNormal: number | undefined;

  /**
   * @param seed a whole number from 0 to 2⁶⁴ − 1, as `torch.manual_seed` takes; like there, only its
   * low 32 bits count. Throws `invalid-argument` for anything else; numbers above 2⁵³ must be
   * bigints.
   */
  constructor(seed: number | bigint) {
    this.#engine = new MersenneTwister(Number(checkedSeed(seed) & 0xffffffffn));
  }

  /** `count` numbers in [0, 1), multiples of 2⁻²⁴. */
  uniformFloat32(count: number): Float32Array {
    const out = new Float32Array(count);
    this.#fillUniform(out);
    return out;
  }

  /** `count` numbers of the standard normal distribution. */
  normalFloat32(count: number): Float32Array {
    const out = new Float32Array(count);
    if (count < 16) {
      for (let i = 0; i < count; i++) out[i] = this.#nextNormal();
      return out;
    }
    this.#fillUniform(out);
    for (let i = 0; i + 16 <= count; i += 16) boxMuller16(out.subarray(i, i + 16));
    if (count % 16 !== 0) {
      // The tail is not a partial block: the last 16 are drawn afresh, over those already there.
      const tail = out.subarray(count - 16);
      this.#fillUniform(tail);
      boxMuller16(tail);
    }
    return out;
  }

  #fillUniform(out: Float32Array): void {
    for (let i = 0; i < out.length; i++) out[i] = (this.#engine.next() & 0xffffff) * 2 ** -24;
  }

  /** In [0, 1), from the low 53 of 64 bits; the first word drawn is the high one. */
  #nextUniformDouble(): number {
    const high = this.#engine.next() & 0x1fffff;
    return (high * 2 ** 32 + this.#engine.next()) * 2 ** -53;
  }

  #nextNormal(): number {
    const spare = this.#spareNormal;
    if (spare !== undefined) {
      this.#spareNormal = undefined;
      return spare;
    }
    const angle = 2 * Math.PI * this.#nextUniformDouble();
    const radius = Math.sqrt(-2 * Math.log1p(-this.#nextUniformDouble()));
    this.#spareNormal = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }
}

/**
 * Turns 16 uniforms into 16 normals in place (Box and Muller, "A Note on the Generation of Random
 * Normal Deviates", 1958): the first eight give the radii, the last eight the angles.
 */
function boxMuller16(block: Float32Array): void {
  for (let i = 0; i < 8; i++) {
    const radius = Math.sqrt(-2 * Math.log(1 - block[i]));
    const angle = 2 * Math.PI * block[i + 8];
    block[i] = radius * Math.cos(angle);
    block[i + 8] = radius * Math.sin(angle);
  }
}

function checkedSeed(seed: number | bigint): bigint {
  const whole = typeof seed === 'bigint' || Number.isSafeInteger(seed);
  if (!whole || seed < 0 || seed > MAX_SEED) {
    throw new BookendError(
      'invalid-argument',
      `The seed is ${seed}; pass a whole number from 0 to 2^64 - 1, as a bigint above 2^53.`,
    );
  }
  return BigInt(seed);
}
