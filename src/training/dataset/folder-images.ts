import { createHash } from 'node:crypto';
import { BookendError, throwIfAborted } from '../../core/errors.ts';
import { MAX_IMAGE_BYTES } from '../../io/image-data.ts';
import { readWhole } from '../../io/read-file.ts';
import type { CaptionedImages } from './captioned-images.ts';
import { type ImageFolderOptions, openImageFolder } from './image-folder.ts';

export interface OpenImagesOptions extends ImageFolderOptions {
  readonly signal?: AbortSignal;
}

/**
 * The images of a folder (see `openImageFolder`). All are read once, so that a run that is taken up
 * again knows whether they are what they were.
 *
 * @throws BookendError as `openImageFolder` does; `invalid-image` for files beyond any image; `aborted`
 */
export async function openFolderImages(
  path: string,
  options: OpenImagesOptions = {},
): Promise<CaptionedImages> {
  const { samples, pathOf } = await openImageFolder(path, options);
  const readFile = async (index: number) =>
    readWhole(await pathOf(samples[index]), MAX_IMAGE_BYTES, 'invalid-image');
  const hashes: string[] = [];
  const all = createHash('sha256');
  for (const [i, { caption }] of samples.entries()) {
    throwIfAborted(options.signal);
    hashes.push(sha256(await readFile(i)));
    all.update(JSON.stringify([hashes[i], caption]));
  }
  return {
    count: samples.length,
    identity: all.digest('hex'),
    caption: (index) => samples[index].caption,
    contentHash: (index) => hashes[index],
    nameOf: (index) => samples[index].name,
    async read(index) {
      const bytes = await readFile(index);
      if (sha256(bytes) === hashes[index]) return bytes;
      throw new BookendError(
        'invalid-argument',
        `${samples[index].name} in ${path} has changed since the data set was opened; leave the data alone while it is in use, and start again.`,
      );
    },
    close: async () => undefined,
  };
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
