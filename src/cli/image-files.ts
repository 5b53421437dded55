import { access, constants } from 'node:fs/promises';
import { dirname, extname, resolve } from 'node:path';
import { BookendError } from '../core/errors.ts';
import { refuseFolder } from '../io/atomic-write.ts';

/** Where image `index` of `count` goes: the name as given for one, numbered for several. */
export function imagePath(out: string, index: number, count: number): string {
  if (count === 1) return out;
  const extension = extname(out);
  const digits = String(count - 1).length;
  const number = String(index).padStart(digits, '0');
  return `${out.slice(0, out.length - extension.length)}-${number}${extension}`;
}

/** Fails before the long work rather than after it. @throws BookendError `invalid-argument`, `io` */
export async function requireWritable(out: string): Promise<void> {
  if (extname(out).toLowerCase() !== '.png') {
    throw new BookendError(
      'invalid-argument',
      `The output ${out} does not end in .png; images are written as PNG, so name it so.`,
    );
  }
  const folder = dirname(resolve(out));
  try {
    // With the slash, a file in the folder's place is refused too.
    await access(`${folder}/`, constants.W_OK);
  } catch (cause) {
    throw new BookendError(
      'io',
      `The folder ${folder} cannot be written to; make it, or choose another with --out.`,
      { cause },
    );
  }
  await refuseFolder(out);
}
