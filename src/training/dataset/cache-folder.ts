import { homedir } from 'node:os';
import { join } from 'node:path';

type Environment = Readonly<Record<string, string | undefined>>;

/** Where latents, embeddings and trajectories are kept unless a folder is named: a user's cache. */
export function trainingCacheFolder(environment: Environment = process.env): string {
  const { XDG_CACHE_HOME } = environment;
  return join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'bookend', 'training');
}
