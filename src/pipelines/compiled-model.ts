import { BookendError } from '../core/errors.ts';
import type { Graph } from '../ir/graph.ts';
import type { Executable } from '../runtime/backend.ts';

/** Turns a graph into something that runs; a pipeline binds backend, weights and precision. */
export type Compile = (graph: Graph) => Promise<Executable>;

interface Entry {
  readonly executable: Promise<Executable>;
  /** Calls that hold it; it is freed when it is both forgotten and held by none. */
  users: number;
  forgotten: boolean;
}

/** An executable that stays until it is released. */
export interface Lease {
  readonly executable: Executable;
  release(): void;
}

/**
 * One network of a pipeline, compiled on demand for each size it is asked for. The latest sizes
 * stay, so that a run of equal requests compiles once; they share weights and working memory, so
 * each costs little more than its list of instructions.
 */
export class CompiledModel<Size extends object> {
  readonly #build: (size: Size) => Graph;
  readonly #compile: Compile;
  readonly #capacity: number;
  readonly #entries = new Map<string, Entry>();
  #disposed = false;

  constructor(build: (size: Size) => Graph, compile: Compile, capacity = 4) {
    this.#build = build;
    this.#compile = compile;
    this.#capacity = capacity;
  }

  /**
   * The executable for `size`; calls at the same time share one compilation.
   *
   * @throws BookendError as compiling does, `invalid-argument` after `dispose`
   */
  async lease(size: Size): Promise<Lease> {
    const entry = this.#entry(size);
    entry.users++;
    const release = () => {
      entry.users--;
      freeIfUnused(entry);
    };
    try {
      return { executable: await entry.executable, release };
    } catch (error) {
      release();
      throw error;
    }
  }

  /** Leases for the time of one call. */
  async use<T>(size: Size, body: (executable: Executable) => Promise<T>): Promise<T> {
    const { executable, release } = await this.lease(size);
    try {
      return await body(executable);
    } finally {
      release();
    }
  }

  /** Frees everything that no call holds at once, and the rest when it is released. */
  dispose(): void {
    this.#disposed = true;
    for (const key of [...this.#entries.keys()]) this.#forget(key);
  }

  /** @throws BookendError `invalid-argument` after `dispose` */
  requireUsable(): void {
    if (!this.#disposed) return;
    throw new BookendError(
      'invalid-argument',
      'The pipeline was disposed of and cannot run; load the model again.',
    );
  }

  #entry(size: Size): Entry {
    this.requireUsable();
    const key = JSON.stringify(Object.entries(size).sort(([a], [b]) => (a < b ? -1 : 1)));
    const entry = this.#entries.get(key) ?? this.#start(key, size);
    // Last in the map is last used.
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#capacity) break;
      this.#forget(oldest);
    }
    return entry;
  }

  #start(key: string, size: Size): Entry {
    const compiling = async () => this.#compile(this.#build(size));
    const entry = { executable: compiling(), users: 0, forgotten: false };
    entry.executable.catch(() => {
      // A failure is told to those who wait for it; whoever asks next tries again.
      if (this.#entries.get(key) === entry) this.#forget(key);
    });
    return entry;
  }

  #forget(key: string): void {
    const entry = this.#entries.get(key)!;
    this.#entries.delete(key);
    entry.forgotten = true;
    freeIfUnused(entry);
  }
}

function freeIfUnused({ executable, users, forgotten }: Entry): void {
  if (users > 0 || !forgotten) return;
  executable.then(
    (ready) => ready.dispose(),
    () => undefined, // it was never made, which whoever asked for it has been told
  );
}
