import { trainingCacheFolder } from '../../training/dataset/cache-folder.ts';
import { TensorCache } from '../../training/dataset/tensor-cache.ts';

export interface CacheOptions {
  /** Folder for what is computed once; one in the user's cache by default. */
  readonly cache?: string;
  /** Told, in one sentence, why something in the cache is made anew. */
  readonly onStale: (reason: string) => void;
}

/** Bytes of each kind of cached values that are kept in memory as well. */
export const MEMORY = 2 ** 27;

export function openCache({ cache }: CacheOptions): TensorCache {
  return new TensorCache(cache ?? trainingCacheFolder());
}
