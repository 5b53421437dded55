import { BookendError } from '../core/errors.ts';
import { formatShape, sameShape } from '../core/shape.ts';
import { type Tensor, tensor } from '../core/tensor.ts';
import { velocity } from '../schedulers/noise-schedule.ts';
import type { Scheduler } from '../schedulers/scheduler.ts';
import type { TrainingProgress } from './checkpoint-state.ts';
import { drawConditioningDropout } from './conditioning-dropout.ts';
import { EpochOrder } from './dataset/epoch-order.ts';
import type { SampleShape, TrainingSamples } from './dataset/training-samples.ts';
import type { Trajectories } from './dataset/trajectories.ts';
import { minSnrWeights } from './losses.ts';
import { type RandomState, RandomStream } from './random-stream.ts';
import { drawTimesteps, type TimestepRange } from './timestep-sampling.ts';
import type { TrainingOptions } from './training-options.ts';

/** What a U-Net is asked, and what it should answer. */
export interface Batch {
  /** Of each sample. */
  readonly timesteps: readonly number[];
  /** [batch, height, width, channels], with its noise. */
  readonly sample: Tensor;
  /** [batch, tokens, width]; absent for models without a prompt. */
  readonly embeddings?: Tensor;
  /** What the data says, like `sample`; absent without data. */
  readonly target?: Tensor;
  /** [batch]: how much each sample's error counts; absent where all count alike. */
  readonly weights?: Tensor;
}

/** An endless row of batches, the same ones from the same state. */
export interface BatchSource {
  /** Everything that the batches depend on. */
  readonly identity: string;
  /** Of one sample. */
  readonly sampleShape: SampleShape;
  /** Of the text, [tokens, width]; absent for models without a prompt. */
  readonly textShape?: readonly number[];
  next(): Promise<Batch>;
  progress(): TrainingProgress;
  /** Goes on from what `progress` gave. */
  restore(progress: TrainingProgress): void;
}

export type BatchOptions = Pick<TrainingOptions, 'batchSize' | 'conditioningDropout' | 'seed'>;

/**
 * Batches of a data set: each epoch takes every sample once, with as much noise as at a random
 * timestep (Ho et al., "Denoising Diffusion Probabilistic Models", 2020, algorithm 1).
 *
 * @param ranges the timesteps to draw from
 * @param minSnrGamma γ of the weights of samples; null for none
 */
export function sampleBatches(
  samples: TrainingSamples,
  scheduler: Scheduler,
  ranges: readonly TimestepRange[],
  options: BatchOptions & Pick<TrainingOptions, 'minSnrGamma'>,
): BatchSource {
  const { predictionType, noiseSchedule } = scheduler;
  const { alphasCumprod } = noiseSchedule;
  const { minSnrGamma: gamma } = options;
  const weights = gamma === null ? undefined : minSnrWeights(alphasCumprod, gamma, predictionType);
  const draw = async (index: number, randoms: Randoms): Promise<Drawn> => {
    const [timestep] = drawTimesteps(ranges, 1, randoms.timesteps);
    const { latents, embeddings } = await samples.sample(index, randoms.latents);
    const noise = randoms.noise.normals(latents.length);
    const target = {
      epsilon: () => noise,
      v_prediction: () => velocity(latents, noise, alphasCumprod[timestep]),
      sample: () => latents,
    }[predictionType]();
    const sample = scheduler.addNoise(latents, noise, timestep);
    return { timestep, sample, target, embeddings, weight: weights?.[timestep] };
  };
  const schedule = [predictionType, Array.from(alphasCumprod)];
  const identity = JSON.stringify([samples.identity, ranges, gamma, schedule, options.batchSize]);
  return new DrawnBatches(samples, identity, draw, options);
}

/**
 * Batches of what a model saw in sampling runs of its own, for distillation without data: each epoch
 * takes every run once, at one of its evaluations.
 *
 * @param chosen the evaluations to draw from
 */
export function trajectoryBatches(
  trajectories: Trajectories,
  chosen: readonly number[],
  options: BatchOptions,
): BatchSource {
  const draw = async (index: number, randoms: Randoms): Promise<Drawn> => {
    const evaluation = chosen[randoms.timesteps.below(chosen.length)];
    const { timestep, latents, embeddings } = await trajectories.point(index, evaluation);
    return { timestep, sample: latents, embeddings };
  };
  const identity = JSON.stringify([trajectories.identity, chosen, options.batchSize]);
  return new DrawnBatches(trajectories, identity, draw, options);
}

const PURPOSES = ['timesteps', 'noise', 'conditioning', 'latents'] as const;
type Randoms = Readonly<Record<(typeof PURPOSES)[number], RandomStream>>;

/** One sample of a batch. */
interface Drawn {
  readonly timestep: number;
  readonly sample: Float32Array;
  readonly target?: Float32Array;
  readonly embeddings?: Tensor;
  readonly weight?: number;
}

type DrawSource = Pick<TrainingSamples, 'count' | 'latentShape' | 'emptyEmbeddings'>;

class DrawnBatches implements BatchSource {
  readonly identity: string;
  readonly sampleShape: SampleShape;
  readonly textShape?: readonly number[];
  readonly #source: DrawSource;
  readonly #draw: (index: number, randoms: Randoms) => Promise<Drawn>;
  readonly #options: BatchOptions;
  #randoms: Randoms;
  #order: EpochOrder;

  constructor(
    source: DrawSource,
    identity: string,
    draw: (index: number, randoms: Randoms) => Promise<Drawn>,
    options: BatchOptions,
  ) {
    const { seed } = options;
    this.identity = identity;
    this.sampleShape = source.latentShape;
    this.textShape = source.emptyEmbeddings?.shape;
    this.#source = source;
    this.#draw = draw;
    this.#options = options;
    this.#randoms = randomsOf(PURPOSES.map((purpose) => RandomStream.start(seed, purpose).state));
    this.#order = new EpochOrder(source.count, seed);
  }

  async next(): Promise<Batch> {
    const { batchSize, conditioningDropout } = this.#options;
    const drawn: Drawn[] = [];
    for (const index of this.#order.next(batchSize)) {
      drawn.push(await this.#draw(index, this.#randoms));
    }
    const { conditioning } = this.#randoms;
    const withoutText = drawConditioningDropout(conditioningDropout, batchSize, conditioning);
    const rows = <T>(pick: (one: Drawn) => T | undefined) => stackable(drawn.map(pick));
    const targets = rows(({ target }) => target);
    const weights = rows(({ weight }) => weight);
    const embeddings = this.#embeddings(drawn, withoutText);
    const shape = [batchSize, ...this.sampleShape];
    return {
      timesteps: drawn.map(({ timestep }) => timestep),
      sample: tensor('f32', shape, joined(drawn.map(({ sample }) => sample))),
      ...(embeddings && { embeddings }),
      ...(targets && { target: tensor('f32', shape, joined(targets)) }),
      ...(weights && { weights: tensor('f32', [batchSize], Float32Array.from(weights)) }),
    };
  }

  progress(): TrainingProgress {
    const randoms = PURPOSES.map((purpose) => this.#randoms[purpose].state);
    return { randoms, position: this.#order.position };
  }

  restore({ randoms, position }: TrainingProgress): void {
    this.#randoms = randomsOf(randoms);
    this.#order = new EpochOrder(this.#source.count, this.#options.seed, position);
  }

  #embeddings(drawn: readonly Drawn[], withoutText: readonly boolean[]): Tensor | undefined {
    const { emptyEmbeddings: empty } = this.#source;
    if (!empty) return undefined;
    const rows = drawn.map(({ embeddings = empty }, i) => {
      const { shape, data } = withoutText[i] ? empty : embeddings;
      if (sameShape(shape, empty.shape)) return data as Float32Array;
      throw new BookendError(
        'invalid-argument',
        `A caption's embeddings have the shape ${formatShape(shape)} and those of the empty text ${formatShape(empty.shape)}; shorten captions to what the text encoder reads at once.`,
      );
    });
    return tensor('f32', [drawn.length, ...empty.shape], joined(rows));
  }
}

function randomsOf(states: readonly RandomState[]): Randoms {
  const streams = PURPOSES.map((purpose) => {
    const state = states.find((candidate) => candidate.purpose === purpose);
    if (state) return [purpose, new RandomStream(state)];
    throw new BookendError(
      'invalid-checkpoint',
      `The state of training says nothing of the draws of ${purpose}; start afresh.`,
    );
  });
  return Object.fromEntries(streams) as Randoms;
}

/** All of them, if every sample has one. */
function stackable<T>(rows: readonly (T | undefined)[]): readonly T[] | undefined {
  return rows.every((row) => row !== undefined) ? (rows as readonly T[]) : undefined;
}

function joined(rows: readonly Float32Array[]): Float32Array<ArrayBuffer> {
  const out = new Float32Array(rows.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const row of rows) {
    out.set(row, at);
    at += row.length;
  }
  return out;
}
