import { readdir, realpath } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { BookendError } from '../../core/errors.ts';
import { asIoError } from '../../io/io-error.ts';
import { readUtf8 } from '../../io/read-file.ts';
import { type CaptionedImage, type Captions, MAX_CAPTION_BYTES, readMetadata } from './metadata.ts';

/** Images with captions, in an order that depends on the folder's content alone. */
export interface ImageFolder {
  readonly folder: string;
  /** At least one. */
  readonly samples: readonly CaptionedImage[];
  /**
   * Where an image lies, once links have been followed.
   *
   * @throws BookendError `not-found` or `io`; `invalid-argument` where a link leaves the folder
   */
  pathOf(sample: CaptionedImage): Promise<string>;
}

export interface ImageFolderOptions {
  /** `ignored`: none is looked for, and all are empty; for models without a prompt. */
  readonly captions?: Captions;
}

export const METADATA = 'metadata.jsonl';

const IMAGE = /\.(png|jpe?g|webp)$/i;
const MAX_FILES = 1_000_000;
const MAX_DEPTH = 8;

export function isImageName(name: string): boolean {
  return IMAGE.test(name);
}

/**
 * Opens a folder of images with captions: those that `metadata.jsonl` lists, in its order (one JSON
 * object a line with `file_name` and `text`, as the imagefolder format of Hugging Face datasets has
 * it), or else every PNG, JPEG and WebP in it and its subfolders, by name, each with a `.txt` of the
 * same name beside it. Hidden files are left out.
 *
 * @throws BookendError `not-found`, `io`, or `invalid-argument` for content that does not fit
 */
export async function openImageFolder(
  folder: string,
  { captions = 'required' }: ImageFolderOptions = {},
): Promise<ImageFolder> {
  const root = await realpath(folder).catch((error) => {
    throw asIoError('read', folder, error);
  });
  const entries = await readdir(root).catch((error) => {
    throw asIoError('read', folder, error);
  });
  const samples = entries.includes(METADATA)
    ? await listedImages(root, folder, captions)
    : await imagesWithTexts(root, folder, captions);
  if (samples.length === 0) {
    throw new BookendError(
      'invalid-argument',
      `${folder} has no image; put PNG, JPEG or WebP files with captions into it.`,
    );
  }
  return { folder, samples, pathOf: ({ name }) => pathInside(root, name) };
}

/** Every image is looked up now, so that none turns out to be missing after hours of training. */
async function listedImages(
  root: string,
  folder: string,
  captions: Captions,
): Promise<CaptionedImage[]> {
  const path = await pathInside(root, METADATA);
  const samples = await readMetadata(path, join(folder, METADATA), captions);
  for (const { name } of samples) await pathInside(root, name);
  return samples;
}

async function imagesWithTexts(
  root: string,
  folder: string,
  captions: Captions,
): Promise<CaptionedImage[]> {
  const names = await filesIn(root, folder);
  const present = new Set(names);
  const samples: CaptionedImage[] = [];
  for (const name of names.filter(isImageName)) {
    if (captions === 'ignored') {
      samples.push({ name, caption: '' });
      continue;
    }
    const textName = name.replace(IMAGE, '.txt');
    if (!present.has(textName)) {
      throw new BookendError(
        'invalid-argument',
        `${join(folder, name)} has no caption; put it into ${textName} beside the image, or list all images in ${METADATA}.`,
      );
    }
    const path = await pathInside(root, textName);
    const caption = (await readUtf8(path, MAX_CAPTION_BYTES)).trim();
    samples.push({ name, caption });
  }
  return samples;
}

/** Names relative to `root` with slashes, sorted by their UTF-16 units, which no locale changes. */
async function filesIn(root: string, folder: string): Promise<string[]> {
  const names: string[] = [];
  const visit = async (prefix: string, depth: number) => {
    const entries = await readdir(join(root, prefix), { withFileTypes: true });
    for (const entry of entries) {
      if (entry.name.startsWith('.')) continue;
      const name = prefix === '' ? entry.name : `${prefix}/${entry.name}`;
      if (!entry.isDirectory()) names.push(name);
      else if (depth < MAX_DEPTH) await visit(name, depth + 1);
      else throw tooMuch(folder, `folders more than ${MAX_DEPTH} deep`);
    }
    if (names.length > MAX_FILES) throw tooMuch(folder, `more than ${MAX_FILES} files`);
  };
  await visit('', 0).catch((error) => {
    throw asIoError('read', folder, error);
  });
  return names.sort();
}

/** Follows links, and refuses those that lead out of `root`, which is without links itself. */
async function pathInside(root: string, name: string): Promise<string> {
  const path = join(root, name);
  const real = await realpath(path).catch((error) => {
    throw asIoError('read', path, error);
  });
  if (real.startsWith(root.endsWith(sep) ? root : root + sep)) return real;
  throw new BookendError(
    'invalid-argument',
    `${path} is a link that leads out of the data set's folder; copy the file into the folder.`,
  );
}

function tooMuch(folder: string, what: string): BookendError {
  return new BookendError(
    'invalid-argument',
    `${folder} holds ${what}; name a folder with the data set alone.`,
  );
}
