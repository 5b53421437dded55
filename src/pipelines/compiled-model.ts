import type { Graph } from '../ir/graph.ts';
import type { Executable } from '../runtime/backend.ts';

/** Turns a graph into something that runs; a pipeline binds backend, weights and precision. */
export type Compile = (graph: Graph) => Promise<Executable>;

/**
 * One network of a pipeline, compiled on demand for each size it is asked for. The latest few sizes
 * stay, so that a run of equal requests compiles once.
 */
export class CompiledModel<Size extends object> {
  readonly #build: (size: Size) => Graph;
  readonly #compile: Compile;
  readonly #capacity: number;
  readonly #executables = new Map<string, Promise<Executable>>();

  constructor(build: (size: Size) => Graph, compile: Compile, capacity = 2) {
    this.#build = build;
    this.#compile = compile;
    this.#capacity = capacity;
  }

  /** The executable for `size`; concurrent callers share one compilation. */
  async at(size: Size): Promise<Executable> {
    const key = JSON.stringify(Object.entries(size).sort(([a], [b]) => (a < b ? -1 : 1)));
    const executable = this.#executables.get(key) ?? this.#start(size);
    this.#executables.delete(key);
    this.#executables.set(key, executable);
    await this.#evict();
    try {
      return await executable;
    } catch (error) {
      this.#executables.delete(key);
      throw error;
    }
  }

  async dispose(): Promise<void> {
    const all = [...this.#executables.values()];
    this.#executables.clear();
    for (const executable of await Promise.allSettled(all)) {
      if (executable.status === 'fulfilled') executable.value.dispose();
    }
  }

  async #start(size: Size): Promise<Executable> {
    return this.#compile(this.#build(size));
  }

  async #evict(): Promise<void> {
    if (this.#executables.size <= this.#capacity) return;
    const [key, oldest] = this.#executables.entries().next().value!;
    this.#executables.delete(key);
    const [settled] = await Promise.allSettled([oldest]);
    if (settled.status === 'fulfilled') settled.value.dispose();
  }
}
