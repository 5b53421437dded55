import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { asIoError } from './io-error.ts';

/** SHA-256 of the contents of files, one after the other, in hexadecimal. @throws BookendError `io` */
export async function hashFiles(paths: Iterable<string>): Promise<string> {
  const hash = createHash('sha256');
  for (const path of paths) {
    try {
      for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 })) {
        hash.update(chunk);
      }
    } catch (error) {
      throw asIoError('read', path, error);
    }
  }
  return hash.digest('hex');
}

export function hashText(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
