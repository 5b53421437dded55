import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { BookendError } from '../../core/errors.ts';
import { formatShape, type Shape, sameShape } from '../../core/shape.ts';
import { floats, type Tensor } from '../../core/tensor.ts';
import { openCheckpoint } from '../../io/checkpoint.ts';
import { hashText } from '../../io/file-hash.ts';
import { asIoError } from '../../io/io-error.ts';
import { writeSafetensors } from '../../io/safetensors.ts';
import type { TensorSource } from '../../io/tensor-source.ts';
import { allFinite } from '../named-arrays.ts';
import type { ImageSize } from './prepare-image.ts';
import type { SampleShape } from './training-samples.ts';

/** Everything that a cached result depends on. */
export interface CacheKey {
  readonly kind: 'latents' | 'pixels' | 'text-embeddings' | 'trajectory';
  /** Hash of what it was made from: the image file's content, a text's tokens, a run's settings. */
  readonly content: string;
  /** What tells the model that made it from every other, such as a hash of its weights. */
  readonly model: string;
  /** Of the image after cropping, in pixels; none for text. */
  readonly size?: readonly [width: number, height: number];
}

/** @param content hash of the image file's content */
export function latentsKey(content: string, model: string, { width, height }: ImageSize): CacheKey {
  return { kind: 'latents', content, model, size: [width, height] };
}

/** @param content hash of the image file's content */
export function pixelsKey(content: string, [height, width, channels]: SampleShape): CacheKey {
  return { kind: 'pixels', content, model: `${channels} channels`, size: [width, height] };
}

/** @param ids tokens of the text, padding included */
export function textEmbeddingsKey(ids: ArrayLike<number>, model: string): CacheKey {
  return { kind: 'text-embeddings', content: hashText(Array.from(ids).join(' ')), model };
}

/** The tensors that an entry must hold, and no others. */
export type CacheShapes = Readonly<Record<string, Shape>>;

export type CacheLookup =
  | { readonly kind: 'found'; readonly tensors: ReadonlyMap<string, Tensor> }
  | { readonly kind: 'absent' }
  | {
      /** There is a file, but it is not what it should be; it is to be computed and written anew. */
      readonly kind: 'stale';
      /** One sentence. */
      readonly reason: string;
    };

/** Part of every key; raised when the meaning of entries changes. */
const VERSION = 1;

/** Results of a frozen model on disk, one safetensors file each, found by what they depend on. */
export class TensorCache {
  readonly #folder: string;

  /** @param folder made when the first entry is written */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Where the entry of `key` lies. */
  pathOf(key: CacheKey): string {
    const hash = hashText(describe(key));
    return join(this.#folder, key.kind, hash.slice(0, 2), `${hash}.safetensors`);
  }

  /**
   * The entry of `key`, if it is there and sound: made for this very key, with tensors of these
   * names and shapes in float32, and unchanged since they were written.
   *
   * @throws BookendError `io` where the file system refuses
   */
  async read(key: CacheKey, shapes: CacheShapes): Promise<CacheLookup> {
    const path = this.pathOf(key);
    let source: TensorSource | undefined;
    try {
      source = await openCheckpoint(path);
      return await readEntry(source, key, shapes);
    } catch (error) {
      if (!(error instanceof BookendError) || error.code === 'io') throw error;
      if (error.code === 'not-found') return { kind: 'absent' };
      return { kind: 'stale', reason: error.message };
    } finally {
      await source?.close();
    }
  }

  /**
   * The entry of `key`, made and written where it is absent or stale.
   *
   * @param make tensors of `shapes`, float32 and finite
   * @param onStale told why an entry that was there is made anew
   * @throws BookendError as `read` and `write` do
   */
  async readOrMake(
    key: CacheKey,
    shapes: CacheShapes,
    make: () => Promise<ReadonlyMap<string, Tensor>>,
    onStale: (reason: string) => void,
  ): Promise<ReadonlyMap<string, Tensor>> {
    const found = await this.read(key, shapes);
    if (found.kind === 'found') return found.tensors;
    if (found.kind === 'stale') onStale(found.reason);
    const tensors = await make();
    await this.write(key, tensors);
    return tensors;
  }

  /**
   * Writes the entry of `key` in place of any other, atomically.
   *
   * @param tensors float32 and finite
   * @throws BookendError `io`, `non-finite`, `invalid-argument`
   */
  async write(key: CacheKey, tensors: ReadonlyMap<string, Tensor>): Promise<void> {
    for (const [name, tensor] of tensors) {
      if (tensor.dtype !== 'f32') {
        throw new BookendError(
          'invalid-argument',
          `The tensor ${name} for the cache is ${tensor.dtype}; pass f32.`,
        );
      }
      if (!allFinite(floats(tensor))) {
        throw new BookendError(
          'non-finite',
          `The ${key.kind} to be cached hold NaN or infinity in ${name}; check the model's weights or try another precision.`,
        );
      }
    }
    const path = this.pathOf(key);
    try {
      await mkdir(dirname(path), { recursive: true });
    } catch (error) {
      throw asIoError('write', dirname(path), error);
    }
    await writeSafetensors(path, tensors, { key: describe(key), sha256: digest(tensors) });
  }
}

async function readEntry(
  source: TensorSource,
  key: CacheKey,
  shapes: CacheShapes,
): Promise<CacheLookup> {
  const stale = (what: string): CacheLookup => ({
    kind: 'stale',
    reason: `${source.origin} ${what}, so it is computed again.`,
  });
  if (source.metadata.key !== describe(key)) return stale('was made for something else');
  const expected = Object.entries(shapes);
  if (source.names().length !== expected.length) {
    return stale(`holds ${source.names().join(', ')} instead of ${Object.keys(shapes).join(', ')}`);
  }
  const tensors = new Map<string, Tensor>();
  for (const [name, shape] of expected) {
    if (!source.has(name)) return stale(`has no ${name}`);
    const location = source.locate(name);
    if (location.dtype !== 'F32' || !sameShape(location.shape, shape)) {
      const found = `${location.dtype}${formatShape(location.shape)}`;
      return stale(`holds ${name} as ${found} instead of F32${formatShape(shape)}`);
    }
    tensors.set(name, await source.read(name));
  }
  if (source.metadata.sha256 !== digest(tensors)) return stale('was changed since it was written');
  return { kind: 'found', tensors };
}

function describe({ kind, content, model, size }: CacheKey): string {
  return JSON.stringify({ version: VERSION, kind, content, model, size });
}

/** SHA-256 over names and bytes, by name. */
function digest(tensors: ReadonlyMap<string, Tensor>): string {
  const hash = createHash('sha256');
  for (const name of [...tensors.keys()].sort()) {
    const { data } = tensors.get(name)!;
    hash.update(`${name}\0${data.byteLength}\0`);
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest('hex');
}
