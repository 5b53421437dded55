import { isUtf8 } from 'node:buffer';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { BookendError, type ErrorCode } from '../core/errors.ts';
import { asIoError } from './io-error.ts';

/**
 * Opens a regular file. Folders, devices and pipes are refused before they are opened, since those
 * may block or never end.
 *
 * @throws BookendError `not-found` or `io`
 */
export async function openForReading(path: string): Promise<{ handle: FileHandle; size: number }> {
  try {
    const found = await stat(path);
    if (!found.isFile()) {
      const kind = found.isDirectory() ? 'a folder' : 'no regular file';
      throw new BookendError('io', `Cannot read ${path}: it is ${kind}; give the path of a file.`);
    }
    const handle = await open(path, 'r');
    try {
      return { handle, size: (await handle.stat()).size };
    } catch (error) {
      await handle.close();
      throw error;
    }
  } catch (error) {
    throw asIoError('read', path, error);
  }
}

/**
 * Reads a whole file of at most `maxBytes`.
 *
 * @param tooLarge code of the error for a larger one
 * @throws BookendError `not-found`, `io` or `tooLarge`
 */
export async function readWhole(
  path: string,
  maxBytes: number,
  tooLarge: ErrorCode,
): Promise<Buffer> {
  const { handle, size } = await openForReading(path);
  try {
    if (size > maxBytes) {
      throw new BookendError(
        tooLarge,
        `${path} has ${size} bytes, more than the ${maxBytes} that such a file may have; use a smaller one.`,
      );
    }
    return await handle.readFile();
  } catch (error) {
    throw asIoError('read', path, error);
  } finally {
    await handle.close();
  }
}

/**
 * A text file without its byte order mark.
 *
 * @throws BookendError `not-found`, `io`; `invalid-argument` for one larger than `maxBytes` or not
 * in UTF-8
 */
export async function readUtf8(path: string, maxBytes: number): Promise<string> {
  const bytes = await readWhole(path, maxBytes, 'invalid-argument');
  if (isUtf8(bytes)) return bytes.toString('utf8').replace(/^\uFEFF/, '');
  throw new BookendError('invalid-argument', `${path} is not text in UTF-8; convert it.`);
}
