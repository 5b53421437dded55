import { readFile, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { BookendError } from '../core/errors.ts';
import { asIoError, systemCode } from './io-error.ts';

/** A model on the Hugging Face hub. */
export interface HubId {
  /** `owner/name` */
  readonly repository: string;
  /** Branch, tag or commit. */
  readonly revision: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

const COMMIT = /^[0-9a-f]{40}$/;

/** Parses `owner/name` or `owner/name@revision`; undefined for anything else. */
export function parseHubId(text: string): HubId | undefined {
  const [, repository, revision] =
    /^([A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*)(?:@([\w.-]+(?:\/[\w.-]+)*))?$/.exec(text) ?? [];
  if (repository === undefined || /\.\./.test(text) || repository.includes('--')) return undefined;
  // A file of a folder beside looks like an id, but is meant as a path.
  if (/\.(safetensors|ckpt|bin|pth?|json)$/i.test(repository)) return undefined;
  return { repository, revision: revision ?? 'main' };
}

/** The folder that huggingface_hub keeps models in, by its environment variables in their order. */
export function hubCacheFolder(environment: Environment = process.env): string {
  const { HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME, XDG_CACHE_HOME } = environment;
  if (HF_HUB_CACHE) return HF_HUB_CACHE;
  if (HUGGINGFACE_HUB_CACHE) return HUGGINGFACE_HUB_CACHE;
  if (HF_HOME) return join(HF_HOME, 'hub');
  return join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'huggingface', 'hub');
}

/** Where the cache keeps one repository: refs/, snapshots/ and blobs/ are below it. */
export function repositoryFolder(cacheFolder: string, id: HubId): string {
  return join(cacheFolder, `models--${id.repository.replace('/', '--')}`);
}

/**
 * The snapshot folder of a model in the cache, without any network.
 *
 * @throws BookendError `not-found`, with the cache folder and what downloads the model
 */
export async function findInCache(cacheFolder: string, id: HubId): Promise<string> {
  const repository = repositoryFolder(cacheFolder, id);
  const commit = COMMIT.test(id.revision) ? id.revision : await readRef(repository, id.revision);
  const snapshot = commit && join(repository, 'snapshots', commit);
  if (snapshot && (await isThere(snapshot))) return snapshot;
  throw new BookendError(
    'not-found',
    `The model ${id.repository} at revision ${id.revision} is not in the cache ${cacheFolder}, and Bookend downloads nothing unless told to; pass --download (in code, download: true), or run: hf download ${id.repository} --revision ${id.revision} --include "*.json" "*.txt" "*.safetensors" --cache-dir ${JSON.stringify(cacheFolder)}`,
  );
}

async function readRef(repository: string, revision: string): Promise<string | undefined> {
  const path = join(repository, 'refs', ...revision.split('/'));
  try {
    const commit = (await readFile(path, 'utf8')).trim();
    if (COMMIT.test(commit)) return commit;
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EISDIR') return undefined;
    throw asIoError('read', path, error);
  }
  throw new BookendError(
    'invalid-checkpoint',
    `${path} does not hold the hash of a commit; delete the file and download the model again.`,
  );
}

async function isThere(folder: string): Promise<boolean> {
  try {
    return (await stat(folder)).isDirectory();
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return false;
    throw asIoError('read', folder, error);
  }
}
