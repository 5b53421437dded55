/**
 * Seeded mutations of byte strings: bit flips, interesting integers, cut, copied and spliced ranges.
 * The same seed and iteration give the same input, so a failure is found again by its number.
 */

const INTERESTING = [0, 1, 0x7f, 0x80, 0xff, 0x7b, 0x7d, 0x22, 0x2c, 0x39, 0x2d, 0x5b];

/** Marsaglia's xorshift32: good enough to choose places and values. */
export class FuzzRandom {
  #state: number;

  constructor(seed: number) {
    this.#state = (Math.imul(seed, 2654435761) ^ 0x9e3779b9) >>> 0 || 1;
  }

  /** A whole number in [0, limit). */
  below(limit: number): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state % limit;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)];
  }
}

type Mutation = (bytes: Buffer, random: FuzzRandom) => Buffer;

const flipBit: Mutation = (bytes, random) => {
  const out = Buffer.from(bytes);
  out[random.below(out.length)] ^= 1 << random.below(8);
  return out;
};

const setByte: Mutation = (bytes, random) => {
  const out = Buffer.from(bytes);
  out[random.below(out.length)] = random.below(2) ? random.pick(INTERESTING) : random.below(256);
  return out;
};

const setWord: Mutation = (bytes, random) => {
  const out = Buffer.from(bytes);
  if (out.length < 4) return out;
  const value = random.pick([0, 1, 0x7fffffff, 0x80000000, 0xffffffff, out.length, 0x00010000]);
  const at = random.below(out.length - 3);
  if (random.below(2)) out.writeUInt32LE(value, at);
  else out.writeUInt32BE(value, at);
  return out;
};

const cutEnd: Mutation = (bytes, random) => bytes.subarray(0, random.below(bytes.length));

const removeRange: Mutation = (bytes, random) => {
  const at = random.below(bytes.length);
  const length = 1 + random.below(16);
  return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
};

const repeatRange: Mutation = (bytes, random) => {
  const at = random.below(bytes.length);
  const end = at + 1 + random.below(32);
  return Buffer.concat([bytes.subarray(0, end), bytes.subarray(at)]);
};

const copyRange: Mutation = (bytes, random) => {
  const out = Buffer.from(bytes);
  const from = random.below(out.length);
  bytes.copy(out, random.below(out.length), from, from + 1 + random.below(32));
  return out;
};

const insertBytes: Mutation = (bytes, random) => {
  const at = random.below(bytes.length);
  const extra = Buffer.from(Array.from({ length: 1 + random.below(9) }, () => random.below(256)));
  return Buffer.concat([bytes.subarray(0, at), extra, bytes.subarray(at)]);
};

/** Digits are where sizes and offsets are in JSON. */
const changeDigit: Mutation = (bytes, random) => {
  const out = Buffer.from(bytes);
  const start = random.below(out.length);
  for (let i = 0; i < out.length; i++) {
    const at = (start + i) % out.length;
    if (out[at] < 0x30 || out[at] > 0x39) continue;
    out[at] = 0x30 + random.below(10);
    return out;
  }
  return out;
};

const MUTATIONS: readonly Mutation[] = [
  flipBit,
  setByte,
  setWord,
  cutEnd,
  removeRange,
  repeatRange,
  copyRange,
  insertBytes,
  changeDigit,
];

/** One to four random mutations of `bytes`. */
export function mutate(bytes: Buffer, random: FuzzRandom): Buffer {
  let out = bytes;
  for (let rounds = 1 + random.below(4); rounds > 0 && out.length > 0; rounds--) {
    out = random.pick(MUTATIONS)(out, random);
  }
  return out;
}
