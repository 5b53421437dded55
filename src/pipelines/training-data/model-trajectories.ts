import { hashText } from '../../io/file-hash.ts';
import { schedulerFromConfig } from '../../schedulers/index.ts';
import type { TensorCache } from '../../training/dataset/tensor-cache.ts';
import type { Trajectories } from '../../training/dataset/trajectories.ts';
import { calibrationPrompts, promptOfSample } from '../calibration-prompts.ts';
import { bestPrecision } from '../cpu-precision.ts';
import type { LoadedModel } from '../load.ts';
import type { ModelParts } from '../model-parts.ts';
import { type HighPrecision, requireNumber, requireWhole } from '../request.ts';
import { latentShape, requirePlainModel, type StableDiffusion } from '../stable-diffusion.ts';
import { trainedSize, type UnconditionalDiffusion } from '../unconditional.ts';
import { type CacheOptions, openCache } from './cache-options.ts';
import { CaptionEmbeddings } from './caption-embeddings.ts';
import { KeptTrajectories, type Runs, type Subject } from './kept-trajectories.ts';
import { componentHash } from './model-hash.ts';
import { promptedRuns, type SamplingSettings, unconditionalRuns } from './sampling-run.ts';

export interface TrajectoryOptions extends CacheOptions {
  /** A text file with a prompt on each line; else the model's own, else generic ones. */
  readonly prompts?: string;
  /** Runs, 64 by default; each is made when it is first asked for. */
  readonly count?: number;
  /** Of each run, 50 by default. */
  readonly steps?: number;
  /** 7.5 by default. */
  readonly guidanceScale?: number;
  /** Of the first run; the others count on. 0 by default. */
  readonly seed?: number;
  /** Of the U-Net; by default BF16 where the CPU has it, else FP32. */
  readonly precision?: HighPrecision;
  readonly signal?: AbortSignal;
}

/**
 * Opens the sampling runs of a model, with its own scheduler and at its own size, as something to
 * train on: nothing but the model is needed. `model` must not be disposed of while they are in use.
 *
 * @param parts of `model`
 * @throws BookendError `invalid-argument` for options out of range or a file without a prompt;
 * `unsupported` for models that only inpaint
 */
export async function openTrajectories(
  model: LoadedModel,
  parts: ModelParts,
  options: TrajectoryOptions,
): Promise<Trajectories> {
  const settings = settingsOf(model, options);
  const { count = 64, seed = 0 } = options;
  requireWhole('trajectories', count, 1, 1_000_000);
  requireWhole('seed', seed, 0, Number.MAX_SAFE_INTEGER - count);
  const cache = openCache(options);
  const kind =
    model.kind === 'unconditional'
      ? { ...unconditionalKind(model.model, settings, count), hashes: [] }
      : await promptedKind(model.model, parts, settings, count, cache, options);
  const unet = await componentHash(parts, 'unet', settings.precision);
  const { schedulerConfig } = model.model;
  const { shape, steps, guidanceScale, scheduler } = settings;
  const how = [unet, ...kind.hashes, schedulerConfig, shape, steps, guidanceScale];
  const runs: Runs = {
    ...kind,
    seed,
    shape,
    timesteps: scheduler.plan(steps).timesteps,
    model: hashText(JSON.stringify(how)),
  };
  return new KeptTrajectories(runs, cache, options.onStale);
}

function settingsOf(loaded: LoadedModel, options: TrajectoryOptions): SamplingSettings {
  const { steps = 50, guidanceScale = 7.5, precision = bestPrecision() } = options;
  return {
    scheduler: schedulerFromConfig(loaded.model.schedulerConfig),
    steps: requireWhole('steps', steps, 1, 1000),
    shape: sampleShape(loaded),
    guidanceScale: requireNumber('guidanceScale', guidanceScale, 0, 1000),
    precision,
  };
}

function sampleShape(loaded: LoadedModel): SamplingSettings['shape'] {
  if (loaded.kind === 'unconditional') {
    const { height, width } = trainedSize(loaded.model);
    return [height, width, loaded.model.config.inChannels];
  }
  requirePlainModel(loaded.model);
  const { height, width, channels } = latentShape(loaded.model, 1);
  return [height, width, channels];
}

/** What one kind of model makes runs of. */
type Kind = Pick<Runs, 'record' | 'subjects' | 'empty'>;

function unconditionalKind(
  model: UnconditionalDiffusion,
  settings: SamplingSettings,
  count: number,
): Kind {
  const nothing: Subject = { content: '', embeddings: async () => undefined };
  const subjects = Array<Subject>(count).fill(nothing);
  return { record: unconditionalRuns(model.unet, settings), subjects, empty: undefined };
}

async function promptedKind(
  model: StableDiffusion,
  parts: ModelParts,
  settings: SamplingSettings,
  count: number,
  cache: TensorCache,
  options: TrajectoryOptions,
): Promise<Kind & { readonly hashes: readonly string[] }> {
  const text = await componentHash(parts, 'text_encoder', model.precision);
  const captions = new CaptionEmbeddings(model.textEncoder, text, cache, options);
  const prompts = await calibrationPrompts(parts.origin, options.prompts);
  const empty = await captions.of('', options.signal);
  const subjects = Array.from({ length: count }, (_, i): Subject => {
    const prompt = promptOfSample(prompts, i);
    return {
      content: captions.ids(prompt).join(' '),
      embeddings: (signal) => captions.of(prompt, signal),
    };
  });
  const record = promptedRuns(model.denoiser, empty, settings);
  return { record, subjects, empty, hashes: [text] };
}
