import { z } from 'zod';
import { BookendError } from '../../core/errors.ts';
import { floats, type Tensor, tensor } from '../../core/tensor.ts';
import type { FeatureRows } from '../../evaluation/feature-extractor.ts';
import { openCheckpoint } from '../../io/checkpoint.ts';
import { writeSafetensors } from '../../io/safetensors.ts';
import type { TensorSource } from '../../io/tensor-source.ts';

/** Rows of logits, [count, classes]. */
export interface Logits {
  readonly data: Float32Array;
  readonly classes: number;
}

/** Features of images as a file holds them. */
export interface StoredFeatures extends FeatureRows {
  readonly count: number;
  /** The extractor's name. */
  readonly extractor: string;
  readonly logits?: Logits;
  /** Absent of files that older versions wrote. */
  readonly origin?: FeatureOrigin;
}

/** What says whether stored features are still those of an image. */
export interface FeatureOrigin {
  /** The extractor's. */
  readonly identity: string;
  /** SHA-256 of each image's file, [count, HASH_BYTES]. */
  readonly hashes: Uint8Array;
  /** Images of the whole set: more than `count` where the extraction was stopped. */
  readonly images: number;
}

export const HASH_BYTES = 32;

const metadataSchema = z.object({
  extractor: z.string().min(1),
  identity: z.string().min(1).optional(),
  images: z
    .string()
    .regex(/^\d{1,9}$/)
    .transform(Number)
    .optional(),
});

const [FEATURES, LOGITS, HASHES] = ['features', 'logits', 'hashes'];

/** Writes the file whole or not at all. @throws BookendError `io` */
export async function writeStoredFeatures(path: string, stored: StoredFeatures): Promise<void> {
  const { count, dimensions, data, extractor, logits, origin } = stored;
  const tensors: [string, Tensor][] = [[FEATURES, tensor('f32', [count, dimensions], data)]];
  if (logits) tensors.push([LOGITS, tensor('f32', [count, logits.classes], logits.data)]);
  if (origin) tensors.push([HASHES, tensor('u8', [count, HASH_BYTES], origin.hashes)]);
  const known = origin && { identity: origin.identity, images: String(origin.images) };
  await writeSafetensors(path, tensors, { extractor, ...known });
}

/**
 * Undefined for a safetensors file of something else.
 *
 * @throws BookendError `not-found`, `io`, `invalid-checkpoint` for a damaged file
 */
export async function readStoredFeatures(path: string): Promise<StoredFeatures | undefined> {
  const source = await openStored(path);
  try {
    const { data: metadata } = metadataSchema.safeParse(source.metadata);
    if (!metadata || !source.has(FEATURES)) return undefined;
    const { extractor, identity, images } = metadata;
    const features = await readRows(source, FEATURES);
    const [count, dimensions] = features.shape;
    const logits = source.has(LOGITS) ? await readRows(source, LOGITS, count) : undefined;
    const hashes = source.has(HASHES) ? await readHashes(source, count) : undefined;
    const origin =
      identity !== undefined && images !== undefined && hashes
        ? { identity, images, hashes }
        : null;
    if (origin && origin.images < count) throw damaged(path, `holds ${count} of ${images} images`);
    return {
      ...{ count, dimensions, data: floats(features), extractor },
      ...(logits && { logits: { data: floats(logits), classes: logits.shape[1] } }),
      ...(origin && { origin }),
    };
  } finally {
    await source.close();
  }
}

async function openStored(path: string): Promise<TensorSource> {
  try {
    return await openCheckpoint(path);
  } catch (error) {
    if (!(error instanceof BookendError) || error.code !== 'invalid-checkpoint') throw error;
    throw damaged(path, 'is no sound safetensors file', error);
  }
}

/** A matrix of f32, with `count` rows where that is known. */
async function readRows(source: TensorSource, name: string, count?: number): Promise<Tensor> {
  const { dtype, shape } = source.locate(name);
  const isSound = shape.length === 2 && shape[1] > 0 && (count ?? shape[0]) === shape[0];
  if (dtype === 'F32' && isSound) return source.read(name);
  throw damaged(source.origin, `has ${name} of shape [${shape.join(', ')}] in ${dtype}`);
}

async function readHashes(source: TensorSource, count: number): Promise<Uint8Array> {
  const { dtype, shape } = source.locate(HASHES);
  if (dtype === 'U8' && shape.length === 2 && shape[0] === count && shape[1] === HASH_BYTES) {
    return source.readBytes(HASHES);
  }
  throw damaged(source.origin, `has hashes of shape [${shape.join(', ')}] for ${count} images`);
}

function damaged(path: string, fault: string, cause?: unknown): BookendError {
  return new BookendError(
    'invalid-checkpoint',
    `${path} should hold features of images and ${fault}; delete it, and they are extracted again.`,
    { cause },
  );
}
