import { open } from 'node:fs/promises';
import { BookendError } from '../core/errors.ts';
import { asIoError } from './io-error.ts';

/** Larger than any image that passes the limit on pixels. */
const MAX_BYTES = 512_000_000;

/** Reads a whole image file. @throws BookendError `not-found`, `io` or `invalid-image` */
export async function readBinary(path: string): Promise<Buffer> {
  try {
    const handle = await open(path, 'r');
    try {
      const { size } = await handle.stat();
      if (size > MAX_BYTES) {
        throw new BookendError(
          'invalid-image',
          `${path} has ${size} bytes, more than the ${MAX_BYTES} an image may have; use a smaller one.`,
        );
      }
      return await handle.readFile();
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw asIoError('read', path, error);
  }
}
