import type { Weight } from '../../compiler/instructions.ts';
import { byteSize } from '../../core/dtype.ts';
import { BookendError } from '../../core/errors.ts';
import type { WeightSource } from '../backend.ts';
import type { IsaName, NativeSource, WeightBuffer } from './addon.ts';
import { callAddon, loadAddon } from './loader.ts';
import { asBookendError } from './native-errors.ts';

// Each load holds one unpacked tensor beside its packed form: few at a time keep the peak near the
// sum of the packed ones.
const LOADS_AT_ONCE = 2;

interface Entry {
  users: number;
  readonly buffer: Promise<WeightBuffer>;
}

/** The packed weights of one source, each loaded once and shared by every program that reads it. */
export class WeightStore {
  readonly #source: WeightSource;
  readonly #entries = new Map<string, Entry>();
  readonly #waiting: (() => void)[] = [];
  #loading = 0;

  constructor(source: WeightSource) {
    this.#source = source;
  }

  /** The weight's buffer; every call wants one `release` of the key, also where loading fails. */
  acquire({ key, weight }: ResolvedWeight, isa: IsaName): Promise<WeightBuffer> {
    let entry = this.#entries.get(key);
    if (!entry) {
      entry = { users: 0, buffer: this.#limited(() => this.#load(weight, isa)) };
      this.#entries.set(key, entry);
    }
    entry.users++;
    return entry.buffer;
  }

  release(key: string): void {
    const entry = this.#entries.get(key);
    if (!entry || --entry.users > 0) return;
    this.#entries.delete(key);
    entry.buffer.then(
      (buffer) => callAddon((addon) => addon.releaseBuffer(buffer)),
      () => undefined, // it never loaded, which whoever asked for it has been told
    );
  }

  async #limited<T>(load: () => Promise<T>): Promise<T> {
    if (this.#loading >= LOADS_AT_ONCE) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else {
      this.#loading++;
    }
    try {
      return await load();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#loading--;
    }
  }

  async #load(weight: Weight, isa: IsaName): Promise<WeightBuffer> {
    const addon = loadAddon();
    if (weight.kind === 'zero') {
      return addon.loadVector({ dtype: 's32', data: new Int32Array(1) }, 's32', 1);
    }
    const source = await this.#locate(weight.path);
    try {
      if (weight.kind === 'packed') return await addon.packWeights(weight.fields, isa, source);
      return await addon.loadVector(source, weight.dtype, weight.count);
    } catch (error) {
      throw named(weight.path, asBookendError(error));
    }
  }

  async #locate(path: string): Promise<NativeSource> {
    const place = this.#source.locate?.(path);
    const info = this.#source.info(path);
    if (place && info) {
      const { file, offset, byteLength } = place;
      return { dtype: info.dtype, path: file, byteOffset: offset, byteLength };
    }
    const { dtype, data } = await this.#source.read(path);
    return { dtype, data };
  }
}

const stores = new WeakMap<WeightSource, WeightStore>();

/** The store of `source`: one, however many graphs are compiled over it. */
export function weightStoreOf(source: WeightSource): WeightStore {
  const store = stores.get(source) ?? new WeightStore(source);
  stores.set(source, store);
  return store;
}

/** A weight and the layout it will have; two uses share a buffer when their keys agree. */
export interface ResolvedWeight {
  readonly weight: Weight;
  readonly key: string;
  /** What it takes once loaded. */
  readonly bytes: number;
}

/** Asks which kernel will read `weight`, for that decides its layout. */
export function resolveWeight(weight: Weight, isa: IsaName): ResolvedWeight {
  if (weight.kind === 'zero') return { weight, key: 'zero', bytes: 4 };
  if (weight.kind === 'vector') {
    const { path, dtype, count } = weight;
    return { weight, key: `${path} ${dtype}[${count}]`, bytes: count * byteSize(dtype) };
  }
  const plan = callAddon((addon) => addon.planPacking(weight.fields, isa));
  return { weight, key: `${weight.path} ${plan.format}`, bytes: plan.packedBytes };
}

/** Says which tensor it was. */
function named(path: string, error: unknown): unknown {
  if (!(error instanceof BookendError)) return error;
  const advice =
    error.code === 'non-finite' ? '; use a checkpoint whose weights are finite numbers.' : '';
  const message = `Tensor ${path} cannot be loaded: ${error.message}${advice}`;
  return new BookendError(error.code, message, { cause: error });
}
