interface Entry<Value> {
  readonly value: Promise<Value>;
  /** 0 until the value is there. */
  bytes: number;
}

/** The latest values of a slow function, up to a number of bytes; calls at once share one making. */
export class MemoryCache<Value> {
  readonly #capacity: number;
  readonly #bytesOf: (value: Value) => number;
  readonly #entries = new Map<string, Entry<Value>>();
  #bytes = 0;

  /** @param capacity bytes; the latest value stays even if it is larger by itself */
  constructor(capacity: number, bytesOf: (value: Value) => number) {
    this.#capacity = capacity;
    this.#bytesOf = bytesOf;
  }

  /** The value of `key`, from `make` where it is not there; failures are not kept. */
  async get(key: string, make: () => Promise<Value>): Promise<Value> {
    const known = this.#entries.get(key);
    const entry = known ?? { value: make(), bytes: 0 };
    // Last in the map is last used.
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    if (known) return known.value;
    try {
      const value = await entry.value;
      entry.bytes = this.#bytesOf(value);
      this.#bytes += entry.bytes;
      this.#shrink(key);
      return value;
    } catch (error) {
      this.#entries.delete(key);
      throw error;
    }
  }

  #shrink(latest: string): void {
    for (const [key, { bytes }] of this.#entries) {
      if (this.#bytes <= this.#capacity) return;
      if (key === latest || bytes === 0) continue;
      this.#entries.delete(key);
      this.#bytes -= bytes;
    }
  }
}
