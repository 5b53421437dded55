import { rm, stat, writeFile } from 'node:fs/promises';
import { join, sep } from 'node:path';
import type { Tensor } from '../../core/tensor.ts';
import { writeAtomically } from '../../io/atomic-write.ts';
import { asIoError } from '../../io/io-error.ts';
import type { WeightedComponent } from '../../io/key-aliases.ts';
import { writeSafetensors } from '../../io/safetensors.ts';
import type { ModelParts, PartsOptions } from '../model-parts.ts';
import {
  INDEX,
  linkModelFolder,
  linkTokenizer,
  prepareOutputFolder,
  TRAINING_LOG,
  TRAINING_STATE,
} from '../output-folder.ts';

/** There until the model is complete, so that an interrupted run's folder is known for what it is. */
const MARK = '.bookend-training';
const UNET_WEIGHTS = join('unet', 'diffusion_pytorch_model.safetensors');

/**
 * The folder of a model with a trained U-Net: every other file of the original one, linked; of a single
 * file, its parts in the layout of diffusers.
 */
export class TrainedFolder {
  readonly path: string;
  readonly #source: string;
  readonly #parts: ModelParts;
  readonly #options: PartsOptions;

  private constructor(path: string, source: string, parts: ModelParts, options: PartsOptions) {
    this.path = path;
    this.#source = source;
    this.#parts = parts;
    this.#options = options;
  }

  /**
   * Makes the folder, or takes up one that an earlier run left.
   *
   * @param source the model's folder or single file
   * @param parts of it
   * @throws BookendError `io`; `invalid-argument` where something else is in the folder, such as a model
   */
  static async prepare(
    path: string,
    source: string,
    parts: ModelParts,
    options: PartsOptions,
  ): Promise<TrainedFolder> {
    await prepareOutputFolder(path, source, 'training under way', [MARK]);
    const mark = join(path, MARK);
    await writeFile(mark, '').catch((error) => {
      throw asIoError('write', mark, error);
    });
    return new TrainedFolder(path, source, parts, options);
  }

  /** Where the state of training under way is kept. */
  get trainingPath(): string {
    return join(this.path, TRAINING_STATE);
  }

  /**
   * Writes the U-Net and everything else; from then on the folder is a model.
   *
   * @param unet its parameters, float32
   * @throws BookendError `io`; as reading the original does
   */
  async complete(unet: ReadonlyMap<string, Tensor>): Promise<void> {
    await writeSafetensors(join(this.path, UNET_WEIGHTS), unet, { format: 'pt' });
    if ((await stat(this.#source)).isDirectory()) {
      await linkModelFolder(this.#source, this.path, isReplaced);
    } else {
      await this.#unpackSingleFile();
    }
    await rm(this.trainingPath, { force: true });
    await rm(join(this.path, MARK), { force: true });
  }

  async #unpackSingleFile(): Promise<void> {
    const parts = this.#parts;
    await linkTokenizer(this.#source, this.path, this.#options);
    await this.#writeJson(join('unet', 'config.json'), await parts.config('unet'));
    const scheduler = await parts.schedulerConfig();
    await this.#writeJson(join('scheduler', 'scheduler_config.json'), scheduler);
    await this.#writeComponent('vae', 'diffusion_pytorch_model.safetensors');
    await this.#writeComponent('text_encoder', 'model.safetensors');
    await this.#writeJson(INDEX, {
      _class_name: 'StableDiffusionPipeline',
      scheduler: ['diffusers', String(scheduler._class_name ?? 'DDIMScheduler')],
      text_encoder: ['transformers', 'CLIPTextModel'],
      tokenizer: ['transformers', 'CLIPTokenizer'],
      unet: ['diffusers', 'UNet2DConditionModel'],
      vae: ['diffusers', 'AutoencoderKL'],
    });
  }

  async #writeComponent(component: WeightedComponent, file: string): Promise<void> {
    await this.#writeJson(join(component, 'config.json'), await this.#parts.config(component));
    const source = await this.#parts.weights(component);
    const tensors: [string, Tensor][] = [];
    for (const name of source.names()) tensors.push([name, await source.read(name)]);
    await writeSafetensors(join(this.path, component, file), tensors, { format: 'pt' });
  }

  async #writeJson(file: string, value: unknown): Promise<void> {
    const text = `${JSON.stringify(value, null, 2)}\n`;
    await writeAtomically(join(this.path, file), (handle) => handle.writeFile(text));
  }
}

/** Of the U-Net only its configuration stays, for its weights and what quantization made of them go. */
function isReplaced(file: string): boolean {
  if ([TRAINING_STATE, MARK, ...TRAINING_LOG].includes(file)) return true;
  return file.startsWith(`unet${sep}`) && file !== join('unet', 'config.json');
}
