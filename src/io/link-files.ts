import { randomBytes } from 'node:crypto';
import { copyFile, link, mkdir, readdir, realpath, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { BookendError } from '../core/errors.ts';
import { asIoError, systemCode } from './io-error.ts';

/** Models have a few dozen files in one level of folders. */
const MAX_FILES = 10_000;
const MAX_DEPTH = 8;

/** The files below `folder`, as paths relative to it, sorted; links are what they lead to. */
export async function filesBelow(folder: string): Promise<string[]> {
  const files: string[] = [];
  const visit = async (prefix: string, depth: number) => {
    const entries = await readdir(join(folder, prefix), { withFileTypes: true });
    for (const entry of entries) {
      const path = join(prefix, entry.name);
      if (entry.isDirectory() && depth < MAX_DEPTH) await visit(path, depth + 1);
      else if (entry.isFile() || entry.isSymbolicLink()) files.push(path);
      if (files.length > MAX_FILES) {
        throw new BookendError(
          'invalid-argument',
          `${folder} holds more than ${MAX_FILES} files, which no model does; name the model's own folder.`,
        );
      }
    }
  };
  try {
    await visit('', 0);
  } catch (error) {
    throw asIoError('read', folder, error);
  }
  return files.sort();
}

/** Errors that say that hard links cannot be had here, while a copy may. */
const NO_LINK = new Set(['EXDEV', 'EPERM', 'EMLINK', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']);

/**
 * Makes `target` the same file as `source`, or a copy where the file system has no hard links. What
 * was at `target` is replaced in one step; folders on the way are made.
 *
 * @throws BookendError `io`, `not-found`
 */
export async function linkFile(source: string, target: string): Promise<void> {
  const temporary = join(dirname(target), `.${randomBytes(8).toString('hex')}.tmp`);
  try {
    await mkdir(dirname(target), { recursive: true });
    // A link to a symbolic link would be another symbolic link, relative to the wrong folder.
    const file = await realpath(source);
    try {
      await link(file, temporary);
    } catch (error) {
      if (!NO_LINK.has(systemCode(error) ?? '')) throw error;
      await copyFile(file, temporary);
    }
    await rename(temporary, target);
    // Renaming a link onto another link of the same file does nothing and keeps both.
    await rm(temporary, { force: true });
  } catch (error) {
    await rm(temporary, { force: true });
    throw asIoError('write', target, error);
  }
}
