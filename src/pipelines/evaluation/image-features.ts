import { BookendError, throwIfAborted } from '../../core/errors.ts';
import { floats, tensor } from '../../core/tensor.ts';
import type { FeatureRows } from '../../evaluation/distances.ts';
import type { ClassifyingExtractor, FeatureExtractor } from '../../evaluation/feature-extractor.ts';
import { isFolder, openCheckpoint } from '../../io/checkpoint.ts';
import { readImage } from '../../io/image.ts';
import { writeSafetensors } from '../../io/safetensors.ts';
import { openImageFolder } from '../../training/dataset/image-folder.ts';

/** Features of the images of a set, in order, and what the network takes them for. */
export interface ImageFeatures extends FeatureRows {
  readonly count: number;
  /** The extractor's name. */
  readonly extractor: string;
  /** [count, classes], before softmax; absent of extractors without, and of features from a file. */
  readonly logits?: { readonly data: Float32Array; readonly classes: number };
}

export interface FeatureOptions {
  readonly onImage?: (done: number, total: number, seconds: number) => void;
  readonly signal?: AbortSignal;
}

/** Images held in memory at once. */
const BATCH = 8;

/**
 * Reads images and extracts their features.
 *
 * @throws BookendError `not-found`, `invalid-image`, `non-finite`, `aborted`
 */
export async function featuresOfImages(
  extractor: FeatureExtractor | ClassifyingExtractor,
  paths: readonly string[],
  { onImage, signal }: FeatureOptions = {},
): Promise<ImageFeatures> {
  const { name, dimensions } = extractor;
  const classes = 'classes' in extractor ? extractor.classes : 0;
  const data = new Float32Array(paths.length * dimensions);
  const logits = new Float32Array(paths.length * classes);
  for (let start = 0; start < paths.length; start += BATCH) {
    throwIfAborted(signal);
    const begun = performance.now();
    const batch = paths.slice(start, start + BATCH);
    const images = await Promise.all(batch.map((path) => readImage(path)));
    if ('describe' in extractor) {
      const described = await extractor.describe(images, { signal });
      data.set(described.features, start * dimensions);
      logits.set(described.logits, start * classes);
    } else {
      data.set(await extractor.extract(images, { signal }), start * dimensions);
    }
    const seconds = (performance.now() - begun) / 1000 / batch.length;
    for (let i = 1; i <= batch.length; i++) onImage?.(start + i, paths.length, seconds);
  }
  const said = classes > 0 && { logits: { data: logits, classes } };
  return { count: paths.length, dimensions, data, extractor: name, ...said };
}

/**
 * Features to compare with: of the images in a folder and its subfolders, or those that
 * `writeFeatures` has stored.
 *
 * @throws BookendError `not-found`, `io`; `invalid-argument` for a folder without images and for
 *   features of another extractor; `invalid-checkpoint`; as `featuresOfImages` does
 */
export async function referenceFeatures(
  extractor: FeatureExtractor,
  reference: string,
  options: FeatureOptions = {},
): Promise<ImageFeatures> {
  if (!(await isFolder(reference))) return readFeatures(extractor, reference);
  const { samples, pathOf } = await openImageFolder(reference, { captions: 'ignored' });
  const paths: string[] = [];
  for (const sample of samples) paths.push(await pathOf(sample));
  return featuresOfImages(extractor, paths, options);
}

const TENSOR = 'features';

/** Stores features to compare with later, without the images. @throws BookendError `io` */
export async function writeFeatures(path: string, features: ImageFeatures): Promise<void> {
  const { count, dimensions, data, extractor } = features;
  await writeSafetensors(path, [[TENSOR, tensor('f32', [count, dimensions], data)]], { extractor });
}

async function readFeatures(extractor: FeatureExtractor, path: string): Promise<ImageFeatures> {
  const source = await openCheckpoint(path);
  try {
    const found = source.metadata.extractor;
    const shape = source.has(TENSOR) ? source.locate(TENSOR).shape : [];
    if (found !== extractor.name || shape.length !== 2 || shape[1] !== extractor.dimensions) {
      throw new BookendError(
        'invalid-argument',
        `${path} holds features of ${found === undefined ? 'no extractor' : JSON.stringify(found).slice(0, 100)} and not of ${extractor.name}; give images, or features that this extractor has made.`,
      );
    }
    const data = floats(await source.read(TENSOR));
    return { count: shape[0], dimensions: shape[1], data, extractor: extractor.name };
  } finally {
    await source.close();
  }
}
