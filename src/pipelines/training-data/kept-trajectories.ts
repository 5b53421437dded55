import { BookendError, throwIfAborted } from '../../core/errors.ts';
import { elementCount } from '../../core/shape.ts';
import { startStopwatch } from '../../core/stopwatch.ts';
import { floats, type Tensor } from '../../core/tensor.ts';
import { hashText } from '../../io/file-hash.ts';
import { MemoryCache } from '../../training/dataset/memory-cache.ts';
import type { CacheKey, TensorCache } from '../../training/dataset/tensor-cache.ts';
import type { PrepareOptions, SampleShape } from '../../training/dataset/training-samples.ts';
import type { Trajectories, TrajectoryPoint } from '../../training/dataset/trajectories.ts';
import { MEMORY } from './cache-options.ts';
import type { RecordRun, SamplingRun } from './sampling-run.ts';

/** What a run of the model is of. */
export interface Subject {
  /** Tells it from others of the same model. */
  readonly content: string;
  embeddings(signal?: AbortSignal): Promise<Tensor | undefined>;
}

export interface Runs {
  readonly record: RecordRun;
  /** Of each run. */
  readonly subjects: readonly Subject[];
  /** Of the first run; the others count on. */
  readonly seed: number;
  readonly shape: SampleShape;
  readonly timesteps: readonly number[];
  /** Hash of all that every run depends on. */
  readonly model: string;
  readonly empty: Tensor | undefined;
}

/** Told after every evaluation of a run. */
type OnEvaluation = (seconds: number) => void;

/** Sampling runs, each made once: one file on disk, whole or not there, and the latest in memory. */
export class KeptTrajectories implements Trajectories {
  readonly identity: string;
  readonly #runs: Runs;
  readonly #keys: readonly CacheKey[];
  readonly #cache: TensorCache;
  readonly #onStale: (reason: string) => void;
  readonly #latest = new MemoryCache<Float32Array>(MEMORY, ({ byteLength }) => byteLength);

  constructor(runs: Runs, cache: TensorCache, onStale: (reason: string) => void) {
    this.#runs = runs;
    this.#keys = runs.subjects.map((subject, i) => ({
      kind: 'trajectory',
      content: hashText(JSON.stringify([runs.seed + i, subject.content])),
      model: runs.model,
    }));
    this.identity = hashText(JSON.stringify(this.#keys));
    this.#cache = cache;
    this.#onStale = onStale;
  }

  get count(): number {
    return this.#keys.length;
  }

  get latentShape(): SampleShape {
    return this.#runs.shape;
  }

  get timesteps(): readonly number[] {
    return this.#runs.timesteps;
  }

  get emptyEmbeddings(): Tensor | undefined {
    return this.#runs.empty;
  }

  async point(trajectory: number, evaluation: number): Promise<TrajectoryPoint> {
    requireBelow(this.count, trajectory, 'Trajectory');
    requireBelow(this.timesteps.length, evaluation, 'Evaluation');
    const recorded = await this.#recorded(trajectory);
    const embeddings = await this.#runs.subjects[trajectory].embeddings();
    const count = elementCount(this.latentShape);
    return {
      // A copy, so that who changes it changes nothing else.
      latents: recorded.slice(evaluation * count, (evaluation + 1) * count),
      timestep: this.timesteps[evaluation],
      ...(embeddings && { embeddings }),
    };
  }

  async prepare(
    trajectories: Iterable<number>,
    { onProgress, signal }: PrepareOptions = {},
  ): Promise<void> {
    const wanted = [...new Set(trajectories)].sort((a, b) => a - b);
    for (const trajectory of wanted) requireBelow(this.count, trajectory, 'Trajectory');
    const evaluations = this.timesteps.length;
    const total = wanted.length * evaluations;
    for (const [i, trajectory] of wanted.entries()) {
      throwIfAborted(signal);
      const elapsed = startStopwatch();
      let done = 0;
      await this.#recorded(trajectory, signal, (seconds) => {
        onProgress?.(i * evaluations + ++done, total, seconds);
      });
      if (done === 0) onProgress?.((i + 1) * evaluations, total, elapsed());
    }
  }

  /** [evaluations, height, width, channels]. */
  #recorded(
    trajectory: number,
    signal?: AbortSignal,
    onEvaluation?: OnEvaluation,
  ): Promise<Float32Array> {
    const key = this.#keys[trajectory];
    return this.#latest.get(key.content, async () => {
      const made = await this.#cache.readOrMake(
        key,
        { latents: [this.timesteps.length, ...this.latentShape] },
        async () => new Map([['latents', await this.#record(trajectory, signal, onEvaluation)]]),
        this.#onStale,
      );
      return floats(made.get('latents')!);
    });
  }

  async #record(
    trajectory: number,
    signal: AbortSignal | undefined,
    onEvaluation: OnEvaluation | undefined,
  ): Promise<Tensor> {
    const { record, subjects, seed } = this.#runs;
    const embeddings = await subjects[trajectory].embeddings(signal);
    const onStepEnd: SamplingRun['onStepEnd'] = ({ seconds }) => onEvaluation?.(seconds);
    return record({ seed: seed + trajectory, embeddings, onStepEnd, signal });
  }
}

function requireBelow(count: number, index: number, what: string): void {
  if (Number.isInteger(index) && index >= 0 && index < count) return;
  throw new BookendError(
    'invalid-argument',
    `${what} ${index} was asked for where there are ${count}; count from 0 to ${count - 1}.`,
  );
}
