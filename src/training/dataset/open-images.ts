import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { BookendError } from '../../core/errors.ts';
import { asIoError } from '../../io/io-error.ts';
import type { CaptionedImages } from './captioned-images.ts';
import { openFolderImages } from './folder-images.ts';
import { isImageName, METADATA } from './image-folder.ts';
import { openParquetImages, type ParquetOptions } from './parquet-images.ts';

const PARQUET = /\.parquet$/i;

/**
 * Opens a data set of images with captions: a Parquet file, a folder with Parquet files directly in
 * it, which are taken by name, or a folder of image files (see `openImageFolder`).
 *
 * @throws BookendError `not-found`, `io`, `aborted`; `invalid-argument` or `unsupported` for content
 * that does not fit
 */
export async function openImages(
  path: string,
  options: ParquetOptions = {},
): Promise<CaptionedImages> {
  const names = await entriesOf(path);
  const files = names?.filter((name) => PARQUET.test(name)) ?? [path];
  if (names && files.length === 0) {
    const { imageColumn, captionColumn } = options;
    if (imageColumn === undefined && captionColumn === undefined) {
      return openFolderImages(path, options);
    }
    throw new BookendError(
      'invalid-argument',
      `${path} holds no Parquet file, so there is no column to name; leave the names of columns out.`,
    );
  }
  const other = names?.find((name) => name === METADATA || isImageName(name));
  if (other !== undefined) {
    throw new BookendError(
      'invalid-argument',
      `${path} holds ${files[0]} as well as ${other}; name a folder with either Parquet files or images.`,
    );
  }
  return openParquetImages(names ? files.sort().map((name) => join(path, name)) : files, options);
}

/** Names in a folder; undefined for a file that may be Parquet. */
async function entriesOf(path: string): Promise<string[] | undefined> {
  try {
    if ((await stat(path)).isDirectory()) {
      return (await readdir(path)).filter((name) => !name.startsWith('.'));
    }
  } catch (error) {
    throw asIoError('read', path, error);
  }
  if (PARQUET.test(path)) return undefined;
  throw new BookendError(
    'invalid-argument',
    `${path} is a file and not a .parquet; name a folder of images with captions, or a Parquet file.`,
  );
}
