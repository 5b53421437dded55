import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Tensor } from '../core/tensor.ts';
import { writeAtomically } from '../io/atomic-write.ts';
import { linkFile } from '../io/link-files.ts';
import { writeSafetensors } from '../io/safetensors.ts';
import {
  formatQuantizedUNet,
  QUANTIZATION_JSON,
  QUANTIZED_TENSORS,
  type QuantizedUNet,
} from '../quantization/quantized-model.ts';
import { type PartsOptions, SINGLE_FILE } from './model-parts.ts';
import {
  linkModelFolder,
  linkTokenizer,
  prepareOutputFolder,
  TRAINING_LOG,
  TRAINING_STATE,
} from './output-folder.ts';

/** Calibration under way; gone when all is done. */
const STATE = 'calibration.safetensors';
const MARKS = [STATE, TRAINING_STATE, join('unet', QUANTIZATION_JSON)];
const OWN_FILES: ReadonlySet<string> = new Set([
  ...MARKS,
  ...TRAINING_LOG,
  join('unet', QUANTIZED_TENSORS),
]);

/**
 * The folder of a quantized model: every file of the original one, linked, and what quantization
 * added. The index comes last, so that a folder which is not complete does not open as a model.
 */
export class QuantizedFolder {
  readonly path: string;
  readonly #source: string;
  readonly #options: PartsOptions;

  private constructor(path: string, source: string, options: PartsOptions) {
    this.path = path;
    this.#source = source;
    this.#options = options;
  }

  /**
   * Makes the folder, or takes up one that an earlier run left.
   *
   * @param source the model's folder or single file
   * @throws BookendError `io`; `invalid-argument` where something else is in the folder
   */
  static async prepare(
    path: string,
    source: string,
    options: PartsOptions = {},
  ): Promise<QuantizedFolder> {
    await prepareOutputFolder(path, source, 'a quantized model', MARKS);
    return new QuantizedFolder(path, source, options);
  }

  get statePath(): string {
    return join(this.path, STATE);
  }

  /** Where the state of training under way is kept. */
  get trainingPath(): string {
    return join(this.path, TRAINING_STATE);
  }

  /** @throws BookendError `io` */
  async writeTensors(tensors: ReadonlyMap<string, Tensor>): Promise<number> {
    const path = join(this.path, 'unet', QUANTIZED_TENSORS);
    await writeSafetensors(path, tensors, { format: 'pt' });
    return (await stat(path)).size;
  }

  async writeModel(model: QuantizedUNet): Promise<void> {
    const path = join(this.path, 'unet', QUANTIZATION_JSON);
    await writeAtomically(path, (handle) => handle.writeFile(formatQuantizedUNet(model)));
  }

  /** Links what the original has; from then on the folder is a model. */
  async complete(): Promise<void> {
    if ((await stat(this.#source)).isDirectory()) {
      await linkModelFolder(this.#source, this.path, (file) => OWN_FILES.has(file));
      return;
    }
    await linkTokenizer(this.#source, this.path, this.#options);
    await linkFile(this.#source, join(this.path, SINGLE_FILE));
  }

  /** Nothing is left to be taken up again. */
  async finish(): Promise<void> {
    await rm(this.statePath, { force: true });
    await rm(this.trainingPath, { force: true });
  }
}
