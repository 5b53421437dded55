import { mkdir, readdir, realpath, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { BookendError } from '../core/errors.ts';
import { asIoError } from '../io/io-error.ts';
import { filesBelow, linkFile } from '../io/link-files.ts';
import { type PartsOptions, tokenizerFolder } from './model-parts.ts';

/** The last file of a model that is made, so that a folder which is not complete does not open. */
export const INDEX = 'model_index.json';

/** What a training run keeps in the folder that it makes: its state, until it is over, and its log. */
export const TRAINING_STATE = 'training.safetensors';
export const TRAINING_LOG = ['train.jsonl', 'train.html'];

/**
 * Makes the folder of a model, or takes up one that an earlier run left.
 *
 * @param source the folder or single file of the model that it is made from
 * @param kind what the folder will be, for messages: 'a quantized model'
 * @param marks files that tell such a folder, complete or not, from any other
 * @throws BookendError `io`; `invalid-argument` where something else is in the folder
 */
export async function prepareOutputFolder(
  path: string,
  source: string,
  kind: string,
  marks: readonly string[],
): Promise<void> {
  try {
    const made = await mkdir(path, { recursive: true });
    const [target, original] = [await realpath(path), await realpath(source)];
    // Its files would be linked into itself.
    const inside = target === original || target.startsWith(join(original, '/'));
    if (inside || !(await isOurs(path, marks))) {
      if (made !== undefined) await rm(made, { recursive: true });
      throw new BookendError(
        'invalid-argument',
        `${path} ${inside ? 'is part of the original model' : `holds something else than ${kind}`}; name a folder that does not exist or is empty.`,
      );
    }
    await removeTemporaries(path);
    await mkdir(join(path, 'unet'), { recursive: true });
  } catch (error) {
    throw asIoError('write', path, error);
  }
}

/**
 * Links the files of the model folder `source` into `path`, its index last.
 *
 * @param isLeftOut of which there will be others
 */
export async function linkModelFolder(
  source: string,
  path: string,
  isLeftOut: (file: string) => boolean,
): Promise<void> {
  const files = (await filesBelow(source)).filter((file) => !isLeftOut(file) && file !== INDEX);
  for (const file of files) await linkFile(join(source, file), join(path, file));
  // A folder with a single file in it, quantized before, has no index.
  if (await exists(join(source, INDEX))) await linkFile(join(source, INDEX), join(path, INDEX));
}

/** Links CLIP's vocabulary for the single file `source`. */
export async function linkTokenizer(
  source: string,
  path: string,
  options: PartsOptions,
): Promise<void> {
  const tokenizer = await tokenizerFolder(source, options);
  for (const file of await filesBelow(tokenizer)) {
    const target = join(path, 'tokenizer', basename(file));
    if (/\.(json|txt)$/.test(file)) await linkFile(join(tokenizer, file), target);
  }
}

/**
 * Whether there is training under way in a folder to go on with.
 *
 * @param wanted whether to go on with it
 * @throws BookendError `invalid-argument` where there is and nobody wants it
 */
export async function canResumeTraining(folder: string, wanted: boolean): Promise<boolean> {
  const found = await exists(join(folder, TRAINING_STATE));
  if (!found || wanted) return found;
  throw new BookendError(
    'invalid-argument',
    `${folder} holds training under way; go on with it by --resume (\`resume: true\`), or name another folder.`,
  );
}

/**
 * Makes a folder for results, or removes what a killed run was writing in it when it was.
 *
 * @throws BookendError `io`
 */
export async function prepareResultFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
    for (const file of (await readdir(path)).filter(isTemporary)) await rm(join(path, file));
  } catch (error) {
    throw asIoError('write', path, error);
  }
}

export async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

/** Whether a folder is empty or has one of `marks`. */
async function isOurs(path: string, marks: readonly string[]): Promise<boolean> {
  const files = await filesBelow(path);
  return files.every(isTemporary) || marks.some((mark) => files.includes(mark));
}

/** Names that atomic writing and linking use; a process that is killed leaves them behind. */
export function isTemporary(file: string): boolean {
  return /^\..*[0-9a-f]{12}\.tmp$/.test(basename(file));
}

async function removeTemporaries(path: string): Promise<void> {
  for (const file of (await filesBelow(path)).filter(isTemporary)) await rm(join(path, file));
}
