import { mkdir, realpath, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { BookendError } from '../core/errors.ts';
import type { Tensor } from '../core/tensor.ts';
import { writeAtomically } from '../io/atomic-write.ts';
import { asIoError } from '../io/io-error.ts';
import { filesBelow, linkFile } from '../io/link-files.ts';
import { writeSafetensors } from '../io/safetensors.ts';
import {
  formatQuantizedUNet,
  QUANTIZATION_JSON,
  QUANTIZED_TENSORS,
  type QuantizedUNet,
} from '../quantization/quantized-model.ts';
import { type PartsOptions, SINGLE_FILE, tokenizerFolder } from './model-parts.ts';

/** Calibration under way; gone when all is done. */
const STATE = 'calibration.safetensors';
/** Training under way, likewise; its log and its curve stay. */
const TRAINING_STATE = 'training.safetensors';
const TRAINING_FILES = [TRAINING_STATE, 'train.jsonl', 'train.html'];
const INDEX = 'model_index.json';
const OWN_FILES: ReadonlySet<string> = new Set([
  STATE,
  ...TRAINING_FILES,
  join('unet', QUANTIZATION_JSON),
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
    try {
      const made = await mkdir(path, { recursive: true });
      const [target, original] = [await realpath(path), await realpath(source)];
      // Its files would be linked into itself.
      const inside = target === original || target.startsWith(join(original, '/'));
      if (inside || !(await isOurs(path))) {
        if (made !== undefined) await rm(made, { recursive: true });
        throw new BookendError(
          'invalid-argument',
          `${path} ${inside ? 'is part of the original model' : 'holds something else than a quantized model'}; name a folder that does not exist or is empty.`,
        );
      }
      await removeTemporaries(path);
      await mkdir(join(path, 'unet'), { recursive: true });
    } catch (error) {
      throw asIoError('write', path, error);
    }
    return new QuantizedFolder(path, source, options);
  }

  get statePath(): string {
    return join(this.path, STATE);
  }

  /** Where the state of training under way is kept. */
  get trainingPath(): string {
    return join(this.path, TRAINING_STATE);
  }

  /**
   * Whether there is training under way to go on with.
   *
   * @param wanted whether to go on with it
   * @throws BookendError `invalid-argument` where there is and nobody wants it
   */
  async canResumeTraining(wanted: boolean): Promise<boolean> {
    const found = await exists(this.trainingPath);
    if (!found || wanted) return found;
    throw new BookendError(
      'invalid-argument',
      `${this.path} holds training under way; go on with it by --resume (\`resume: true\`), or name another folder.`,
    );
  }

  /** Training is over. */
  async forgetTraining(): Promise<void> {
    await rm(this.trainingPath, { force: true });
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
    if ((await stat(this.#source)).isDirectory()) await this.#linkFolder();
    else await this.#linkSingleFile();
  }

  /** Nothing is left to be taken up again. */
  async finish(): Promise<void> {
    await rm(this.statePath, { force: true });
  }

  async #linkFolder(): Promise<void> {
    const files = (await filesBelow(this.#source)).filter(
      (file) => !OWN_FILES.has(file) && file !== INDEX,
    );
    for (const file of files) await linkFile(join(this.#source, file), join(this.path, file));
    // A folder with a single file in it, quantized before, has no index.
    const index = join(this.#source, INDEX);
    if (await exists(index)) await linkFile(index, join(this.path, INDEX));
  }

  async #linkSingleFile(): Promise<void> {
    const tokenizer = await tokenizerFolder(this.#source, this.#options);
    for (const file of await filesBelow(tokenizer)) {
      const target = join(this.path, 'tokenizer', basename(file));
      if (/\.(json|txt)$/.test(file)) await linkFile(join(tokenizer, file), target);
    }
    await linkFile(this.#source, join(this.path, SINGLE_FILE));
  }
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

/** Whether a folder is empty, was left by an interrupted run, or is a quantized model. */
async function isOurs(path: string): Promise<boolean> {
  const files = await filesBelow(path);
  const marks = [STATE, ...TRAINING_FILES, join('unet', QUANTIZATION_JSON)];
  return files.every(isTemporary) || marks.some((mark) => files.includes(mark));
}

/** Names that atomic writing and linking use; a process that is killed leaves them behind. */
function isTemporary(file: string): boolean {
  return /^\..*[0-9a-f]{12}\.tmp$/.test(basename(file));
}

async function removeTemporaries(path: string): Promise<void> {
  for (const file of (await filesBelow(path)).filter(isTemporary)) await rm(join(path, file));
}
