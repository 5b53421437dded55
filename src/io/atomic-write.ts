import { randomBytes } from 'node:crypto';
import { type FileHandle, open, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { BookendError } from '../core/errors.ts';
import { asIoError, systemCode } from './io-error.ts';

/**
 * Writes a file so that `path` holds either what it held before or the whole new content: `fill`
 * writes to a temporary file in the same folder, which is synced and renamed. On any failure the
 * temporary file is removed; file system failures become `io` errors.
 */
export async function writeAtomically(
  path: string,
  fill: (handle: FileHandle) => Promise<void>,
): Promise<void> {
  const temporary = join(
    dirname(path),
    `.${basename(path).slice(0, 100)}.${randomBytes(6).toString('hex')}.tmp`,
  );
  try {
    await refuseFolder(path);
    const handle = await open(temporary, 'wx');
    try {
      await fill(handle);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await removeIfThere(temporary);
    throw asIoError('write', path, error);
  }
}

/**
 * Found before the content is made rather than at the rename, whose error code varies.
 *
 * @throws BookendError `io` when `path` is a folder
 */
export async function refuseFolder(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory()) {
    throw new BookendError(
      'io',
      `Cannot write ${path}: a folder is in its place; give the path of a file.`,
    );
  }
}

async function removeIfThere(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    // The first failure is the one to report; only a temporary file that stays would be news.
    const code = systemCode(error);
    if (code !== 'ENOENT' && code !== 'ENOTDIR' && code !== 'EACCES') throw error;
  }
}
