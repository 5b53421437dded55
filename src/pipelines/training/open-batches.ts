import { BookendError } from '../../core/errors.ts';
import { schedulerFromConfig } from '../../schedulers/index.ts';
import {
  type BatchOptions,
  type BatchSource,
  sampleBatches,
  trajectoryBatches,
} from '../../training/batches.ts';
import { EpochOrder } from '../../training/dataset/epoch-order.ts';
import type { PrepareOptions } from '../../training/dataset/training-samples.ts';
import type { TimestepRange } from '../../training/timestep-sampling.ts';
import type { TrainingEvent } from '../../training/training-event.ts';
import type { TrainingOptions } from '../../training/training-options.ts';
import type { LoadedModel } from '../load.ts';
import type { ModelParts } from '../model-parts.ts';
import { openImageSamples } from '../training-data/image-samples.ts';
import { openTrajectories } from '../training-data/model-trajectories.ts';

/** What to learn from. */
export type TrainingData = ImageData | DataFree;

/** Images with captions. */
export interface ImageData {
  readonly kind: 'images';
  /** A folder with `metadata.jsonl` or texts beside its images, or Parquet files. */
  readonly path: string;
  /** Of Parquet files: names of the columns, where they are not the usual ones. */
  readonly imageColumn?: string;
  readonly captionColumn?: string;
  /** Height and width that images are cropped and scaled to; the model's own by default. */
  readonly size?: number;
  /** Folder for latents and text embeddings; one in the user's cache by default. */
  readonly cache?: string;
}

/** Sampling runs of the original model. */
export interface DataFree {
  readonly kind: 'data-free';
  /** A text file with a prompt on each line; the model's own or generic ones by default. */
  readonly prompts?: string;
  /** Runs, 64 by default. */
  readonly trajectories?: number;
  /** Steps of each run, 50 by default. */
  readonly steps?: number;
  /** 7.5 by default. */
  readonly guidanceScale?: number;
  /** Folder for the runs; one in the user's cache by default. */
  readonly cache?: string;
}

export interface OpenBatchesOptions
  extends BatchOptions,
    Pick<TrainingOptions, 'minSnrGamma' | 'steps' | 'accumulation'> {
  /** The training timesteps to learn at. */
  readonly ranges: readonly TimestepRange[];
  readonly onEvent?: (event: TrainingEvent) => void;
  readonly signal?: AbortSignal;
}

/**
 * The batches of a training run, all latents and text embeddings made that they will need: the model
 * may be disposed of afterwards.
 *
 * @param parts of `model`
 * @throws BookendError as opening and encoding the data does; `aborted`; `invalid-argument` where no
 * evaluation of the model's own runs falls into `ranges`
 */
export async function openBatches(
  model: LoadedModel,
  parts: ModelParts,
  data: TrainingData,
  options: OpenBatchesOptions,
): Promise<BatchSource> {
  const { ranges, onEvent, signal } = options;
  const preparing = (phase: 'encoding' | 'trajectories'): PrepareOptions => ({
    onProgress: (done, total, seconds) =>
      onEvent?.({ kind: 'preparing', phase, done, total, seconds }),
    signal,
  });
  const opening = { ...data, onStale: () => undefined, signal };
  if (data.kind === 'images') {
    const samples = await openImageSamples(model, parts, { ...opening, ...data });
    try {
      await samples.prepare(takenOf(samples, options), preparing('encoding'));
    } finally {
      await samples.close();
    }
    const scheduler = schedulerFromConfig(model.model.schedulerConfig);
    return sampleBatches(samples, scheduler, ranges, options);
  }
  const trajectories = await openTrajectories(model, parts, {
    ...opening,
    ...data,
    count: data.trajectories,
    seed: options.seed,
  });
  await trajectories.prepare(takenOf(trajectories, options), preparing('trajectories'));
  const { timesteps } = trajectories;
  const inside = (t: number) => ranges.some(({ from, to }) => from <= t && t < to);
  const chosen = [...timesteps.keys()].filter((i) => inside(timesteps[i]));
  if (chosen.length > 0) return trajectoryBatches(trajectories, chosen, options);
  throw new BookendError(
    'invalid-argument',
    `None of the ${timesteps.length} steps of the model's own runs falls into the timesteps to learn at; take more steps.`,
  );
}

/** What a run takes, from its beginning: a short one takes a part of a large data set. */
function takenOf(
  { count }: { readonly count: number },
  { steps, batchSize, accumulation, seed }: OpenBatchesOptions,
): Iterable<number> {
  const taken = steps * batchSize * accumulation;
  return taken < count ? new EpochOrder(count, seed).next(taken) : Array(count).keys();
}
