import { createHash } from 'node:crypto';
import { BookendError, throwIfAborted } from '../../core/errors.ts';
import type { ClassifyingExtractor, FeatureExtractor } from '../../evaluation/feature-extractor.ts';
import { isFolder } from '../../io/checkpoint.ts';
import { readImage, readImageFile } from '../../io/image.ts';
import { openImageFolder } from '../../training/dataset/image-folder.ts';
import { FeatureCache } from './feature-cache.ts';
import { type Described, FeatureTable } from './feature-table.ts';
import { readStoredFeatures, type StoredFeatures } from './stored-features.ts';

/**
 * Features of the images of a set, in order, and what the network takes them for: logits are absent of
 * extractors without a classifier.
 */
export type ImageFeatures = Omit<StoredFeatures, 'origin'>;

export interface FeatureOptions {
  /**
   * A safetensors file, written as it is filled: images whose content is in it already are not
   * extracted again. It ends with the features of just this set, and serves as a reference.
   */
  readonly cache?: string;
  /** Such files of other runs, to read as well; those that are not there count as empty. */
  readonly otherCaches?: readonly string[];
  /** Of the images that are extracted; `done` counts those that were found as well. */
  readonly onImage?: (done: number, total: number, seconds: number) => void;
  readonly signal?: AbortSignal;
}

/** Images held in memory at once. */
const BATCH = 8;

/**
 * Reads images and extracts their features, as far as they are not stored. What was extracted before
 * an error or a kill is stored, but for a few hundred images.
 *
 * @throws BookendError `not-found`, `invalid-image`, `non-finite`, `aborted`; `invalid-checkpoint` for
 *   a damaged cache
 */
export async function featuresOfImages(
  extractor: FeatureExtractor | ClassifyingExtractor,
  paths: readonly string[],
  options: FeatureOptions = {},
): Promise<ImageFeatures> {
  const { cache: path, otherCaches, signal } = options;
  const classes = 'classes' in extractor ? extractor.classes : 0;
  const table = new FeatureTable(extractor, classes, paths.length);
  if (path === undefined) {
    await extractMissing(extractor, paths, table, options);
    return table.toFeatures();
  }
  const cache = await FeatureCache.open(path, extractor, classes, otherCaches);
  await reuse(cache, paths, table, signal);
  try {
    await extractMissing(extractor, paths, table, options, cache);
  } catch (error) {
    await cache.saveRest(table);
    throw error;
  }
  await cache.save(table);
  return table.toFeatures();
}

async function reuse(
  cache: FeatureCache,
  paths: readonly string[],
  table: FeatureTable,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (const [i, path] of paths.entries()) {
    throwIfAborted(signal);
    const hash = sha256(await readImageFile(path));
    const found = cache.find(hash);
    if (!found) continue;
    const { data: features, logits } = found.stored;
    table.set(i, { features, logits: logits?.data }, found.row, hash);
  }
}

async function extractMissing(
  extractor: FeatureExtractor | ClassifyingExtractor,
  paths: readonly string[],
  table: FeatureTable,
  { onImage, signal }: FeatureOptions,
  cache?: FeatureCache,
): Promise<void> {
  const missing = table.indices(false);
  const before = paths.length - missing.length;
  for (let start = 0; start < missing.length; start += BATCH) {
    throwIfAborted(signal);
    const begun = performance.now();
    const batch = missing.slice(start, start + BATCH);
    // Hashed are the bytes that are decoded, though the file may have changed since it was looked up.
    const files = await Promise.all(batch.map((i) => readImageFile(paths[i])));
    const images = await Promise.all(
      files.map((file, i) => readImage(file, { name: paths[batch[i]] })),
    );
    const described: Described =
      'describe' in extractor
        ? await extractor.describe(images, { signal })
        : { features: await extractor.extract(images, { signal }) };
    for (const [row, image] of batch.entries()) {
      table.set(image, described, row, cache && sha256(files[row]));
    }
    const seconds = (performance.now() - begun) / 1000 / batch.length;
    await cache?.saveSometimes(table, batch.length);
    for (let i = 1; i <= batch.length; i++) onImage?.(before + start + i, paths.length, seconds);
  }
}

function sha256(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest();
}

/**
 * Features to compare with: of the images in a folder and its subfolders, or those that a cache of
 * `featuresOfImages` holds.
 *
 * @throws BookendError `not-found`, `io`; `invalid-argument` for a folder without images, and for
 *   features of another extractor or of a part of a set; as `featuresOfImages` does
 */
export async function referenceFeatures(
  extractor: FeatureExtractor,
  reference: string,
  options: FeatureOptions = {},
): Promise<ImageFeatures> {
  if (!(await isFolder(reference))) return readReference(extractor, reference);
  const { samples, pathOf } = await openImageFolder(reference, { captions: 'ignored' });
  const paths: string[] = [];
  for (const sample of samples) paths.push(await pathOf(sample));
  return featuresOfImages(extractor, paths, options);
}

async function readReference(extractor: FeatureExtractor, path: string): Promise<ImageFeatures> {
  const stored = await readStoredFeatures(path);
  const { origin, ...features } = stored ?? {};
  const isOfIt =
    stored?.extractor === extractor.name &&
    stored.dimensions === extractor.dimensions &&
    (!origin || origin.identity === (await extractor.identity()));
  if (!stored || !isOfIt) {
    throw new BookendError(
      'invalid-argument',
      `${path} holds features of ${stored ? JSON.stringify(stored.extractor).slice(0, 100) : 'no extractor'} and not of ${extractor.name} with these weights; give images, or features that this extractor has made.`,
    );
  }
  if (origin && origin.images > stored.count) {
    throw new BookendError(
      'invalid-argument',
      `${path} holds features of ${stored.count} of ${origin.images} images, as its run was stopped; give the same command again, and it goes on.`,
    );
  }
  return features as ImageFeatures;
}
