import { bestPrecision } from '../cpu-precision.ts';
import { type LoadedModel, type LoadOptions, loadModel } from '../load.ts';
import type { HighPrecision, PrecisionOptions } from '../request.ts';
import { ModelSource } from './model-source.ts';

/** How a model of a sweep is found; the precision is each setting's own. */
export type SweptModelOptions = Omit<LoadOptions, keyof PrecisionOptions>;

/**
 * One model for many settings: loaded once for all that share the precision of text encoder and
 * autoencoder, and hashed once. Only one precision of these is in memory at a time.
 */
export class SweepModels {
  readonly reference: string;
  readonly #options: SweptModelOptions;
  #identity: Promise<string> | undefined;
  #loaded: { readonly precision: HighPrecision; readonly model: Promise<LoadedModel> } | undefined;

  constructor(reference: string, options: SweptModelOptions) {
    this.reference = reference;
    this.#options = options;
  }

  /** @throws BookendError as `ModelSource.identity` does */
  identity(): Promise<string> {
    this.#identity ??= new ModelSource(this.reference, this.#options).identity();
    return this.#identity;
  }

  /** Not to be disposed of by who asks. @throws BookendError as `loadModel` does */
  async load(precision: HighPrecision): Promise<LoadedModel> {
    if (this.#loaded?.precision !== precision) {
      await this.dispose();
      this.#loaded = { precision, model: this.loadBeside(precision) };
    }
    return this.#loaded.model;
  }

  /** Another one beside it, to be disposed of by who asks. @throws BookendError as `loadModel` does */
  loadBeside(precision: HighPrecision): Promise<LoadedModel> {
    return loadModel(this.reference, { ...this.#options, precision });
  }

  /** Draws with `options` what a `ModelSource` of them draws, and records the same. */
  source(options: PrecisionOptions): ModelSource {
    return new SweepSource(this, options, this.#options);
  }

  async dispose(): Promise<void> {
    // A model that could not be loaded has been told of by whoever asked for it.
    const model = await this.#loaded?.model.catch(() => undefined);
    this.#loaded = undefined;
    await model?.dispose();
  }
}

/** What text encoder and autoencoder compute in beside a U-Net of this precision. */
export function surroundingPrecision({ precision }: PrecisionOptions): HighPrecision {
  return precision === 'fp32' || precision === 'bf16' ? precision : bestPrecision();
}

class SweepSource extends ModelSource {
  readonly #models: SweepModels;

  constructor(models: SweepModels, precision: PrecisionOptions, options: SweptModelOptions) {
    super(models.reference, { ...options, ...precision });
    this.#models = models;
  }

  override identity(): Promise<string> {
    return this.#models.identity();
  }

  override async load(): Promise<LoadedModel> {
    const loaded = await this.#models.load(surroundingPrecision(this.precision));
    const precisionOptions = this.precision;
    return loaded.kind === 'unconditional'
      ? { ...loaded, model: { ...loaded.model, precisionOptions } }
      : { ...loaded, model: { ...loaded.model, precisionOptions } };
  }

  /** The model is not its own. */
  override async dispose(): Promise<void> {}
}
