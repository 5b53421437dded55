import { basename } from 'node:path';
import { hashFiles, hashText } from '../../io/file-hash.ts';
import type { WeightedComponent } from '../../io/key-aliases.ts';
import { type LoadedModel, type LoadOptions, loadModel } from '../load.ts';
import { type ModelParts, openModelParts } from '../model-parts.ts';
import type { PrecisionOptions } from '../request.ts';
import { weightFiles } from '../weights.ts';

/** A model that is loaded when the first image must be drawn, which may be never. */
export class ModelSource {
  readonly reference: string;
  readonly #options: LoadOptions;
  #model: Promise<LoadedModel> | undefined;

  constructor(reference: string, options: LoadOptions = {}) {
    this.reference = reference;
    this.#options = options;
  }

  /** For people. */
  get name(): string {
    return basename(this.reference);
  }

  get precision(): PrecisionOptions {
    const { precision, highPrecisionSteps, schedule, maxSeconds, minPsnr } = this.#options;
    return { precision, highPrecisionSteps, schedule, maxSeconds, minPsnr };
  }

  /** Hashes all that the model's files hold. @throws BookendError as opening the model does */
  async identity(): Promise<string> {
    const parts = await openModelParts(this.reference, this.#options);
    try {
      return await hashParts(parts);
    } finally {
      await parts.close();
    }
  }

  /** @throws BookendError as `loadModel` does */
  load(): Promise<LoadedModel> {
    this.#model ??= loadModel(this.reference, this.#options);
    return this.#model;
  }

  async dispose(): Promise<void> {
    // A model that could not be loaded has been told of by whoever asked for it.
    const model = await this.#model?.catch(() => undefined);
    await model?.dispose();
  }
}

const COMPONENTS: readonly WeightedComponent[] = ['unet', 'vae', 'text_encoder'];

async function hashParts(parts: ModelParts): Promise<string> {
  const present = COMPONENTS.filter((component) => parts.has(component));
  const files = new Set<string>();
  const configs: unknown[] = [await parts.schedulerConfig()];
  for (const component of present) {
    const source = await parts.weights(component);
    for (const file of weightFiles(source)) files.add(file);
    configs.push(component, await parts.config(component));
  }
  const quantization = await parts.quantization();
  if (quantization) {
    configs.push(quantization.json);
    files.add(quantization.tensorsPath);
  }
  return hashText(JSON.stringify([configs, await hashFiles([...files].sort())]));
}
