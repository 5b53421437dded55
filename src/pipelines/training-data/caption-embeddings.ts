import { type Tensor, tensor } from '../../core/tensor.ts';
import { MemoryCache } from '../../training/dataset/memory-cache.ts';
import { type TensorCache, textEmbeddingsKey } from '../../training/dataset/tensor-cache.ts';
import type { TextEncoder, TokenizedPrompts } from '../text-encoder.ts';
import { type CacheOptions, MEMORY } from './cache-options.ts';

/**
 * Embeddings of captions, each one window of the text encoder: what does not fit is cut off, and
 * brackets are text, since captions are no prompts written for weights.
 */
export class CaptionEmbeddings {
  readonly shape: readonly [tokens: number, width: number];
  /** Of the model that makes them. */
  readonly #hash: string;
  readonly #encoder: TextEncoder;
  readonly #cache: TensorCache;
  readonly #options: CacheOptions;
  readonly #latest = new MemoryCache<Tensor>(MEMORY, ({ data }) => data.byteLength);

  /** @param hash of the text encoder */
  constructor(encoder: TextEncoder, hash: string, cache: TensorCache, options: CacheOptions) {
    this.shape = [encoder.tokenizer.maxLength, encoder.config.width];
    this.#encoder = encoder;
    this.#hash = hash;
    this.#cache = cache;
    this.#options = options;
  }

  /** f32 [tokens, width]. @throws BookendError `invalid-argument`, `io`, `aborted` */
  async of(caption: string, signal?: AbortSignal): Promise<Tensor> {
    const ids = this.ids(caption);
    const key = textEmbeddingsKey(ids, this.#hash);
    return this.#latest.get(key.content, async () => {
      const made = await this.#cache.readOrMake(
        key,
        { embeddings: this.shape },
        async () => new Map([['embeddings', await this.#encode(ids, signal)]]),
        this.#options.onStale,
      );
      return made.get('embeddings')!;
    });
  }

  /** What the text encoder reads of a caption. */
  ids(caption: string): Int32Array {
    return this.#encoder.tokenizer.encodePadded(caption);
  }

  async #encode(ids: Int32Array, signal?: AbortSignal): Promise<Tensor> {
    const { data } = await this.#encoder.encode(singleWindow(ids), signal);
    return tensor('f32', this.shape, data);
  }
}

function singleWindow(ids: Int32Array): TokenizedPrompts {
  const weights = new Float32Array(ids.length).fill(1);
  return { prompts: [{ chunks: [{ ids, weights }], clipSkip: 0 }], tokens: ids.length };
}
