import { mkdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { BookendError } from '../core/errors.ts';
import { writeAtomically } from './atomic-write.ts';
import {
  findInCache,
  type HubId,
  hubCacheFolder,
  parseHubId,
  repositoryFolder,
} from './hub-cache.ts';
import { asIoError, systemCode } from './io-error.ts';

export interface ResolveOptions {
  /** Fetch what is missing from the hub. Without it there is no network access at all. */
  readonly download?: boolean;
  /** Which weights to fetch, such as `fp16`. */
  readonly variant?: string;
  /** What the repository holds: a pipeline in folders by component, or one model. Default pipeline. */
  readonly holds?: RepositoryContent;
  /** Default: as huggingface_hub finds it. */
  readonly cacheFolder?: string;
  /** For gated models; default: the environment variable HF_TOKEN. */
  readonly accessToken?: string;
  /** Default: the environment variable HF_ENDPOINT, else the public hub. */
  readonly hubUrl?: string;
}

/** How a repository is laid out: as diffusers does it, or as transformers does. */
export type RepositoryContent = 'pipeline' | 'model';

/** Where a model lies on this machine. */
export interface ResolvedModel {
  readonly kind: 'folder' | 'file';
  readonly path: string;
}

/**
 * Finds a model by path or by hub id (`owner/name`, `owner/name@revision`). What exists as a path is
 * a path.
 *
 * @throws BookendError `not-found`, `io`
 */
export async function resolveModel(
  reference: string,
  options: ResolveOptions = {},
): Promise<ResolvedModel> {
  const kind = await kindOf(reference);
  if (kind !== undefined) return { kind, path: reference };
  const id = parseHubId(reference);
  if (id === undefined) {
    throw new BookendError(
      'not-found',
      `There is no model ${reference}: it is neither an existing folder or file nor a hub id of the form owner/name; correct it.`,
    );
  }
  const cacheFolder = options.cacheFolder ?? hubCacheFolder();
  if (options.download) return { kind: 'folder', path: await download(id, cacheFolder, options) };
  return { kind: 'folder', path: await findInCache(cacheFolder, id) };
}

async function kindOf(path: string): Promise<'folder' | 'file' | undefined> {
  try {
    return (await stat(path)).isDirectory() ? 'folder' : 'file';
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw asIoError('read', path, error);
  }
}

const COMPONENTS = ['unet', 'vae', 'text_encoder', 'tokenizer', 'scheduler'];

/**
 * Which files of a repository a model needs: the index, each component's JSON and text, and the
 * weights of one variant; of a single model, those at the top. Repositories also hold pickles, other
 * variants and single-file copies.
 */
export function neededFiles(
  paths: readonly string[],
  variant: string | undefined,
  holds: RepositoryContent = 'pipeline',
): string[] {
  const infix = variant === undefined ? '' : `\\.${variant.replace(/[^\w-]/g, '\\$&')}`;
  const weights = new RegExp(
    `^(diffusion_pytorch_model|model)${infix}(-\\d+-of-\\d+)?\\.safetensors$`,
  );
  const isNeeded = (name: string) => /\.(json|txt)$/.test(name) || weights.test(name);
  return paths.filter((path) => {
    if (holds === 'model') return !path.includes('/') && isNeeded(path);
    if (path === 'model_index.json') return true;
    const [folder, name, ...deeper] = path.split('/');
    if (name === undefined || deeper.length > 0 || !COMPONENTS.includes(folder)) return false;
    return isNeeded(name);
  });
}

async function download(id: HubId, cacheFolder: string, options: ResolveOptions): Promise<string> {
  // Loaded here alone, so that nothing that could reach the network is loaded unless asked for.
  const hub = await import('@huggingface/hub');
  const connection = {
    repo: id.repository,
    accessToken: options.accessToken ?? process.env.HF_TOKEN,
    hubUrl: options.hubUrl ?? process.env.HF_ENDPOINT,
  };
  try {
    // Every file by the commit's hash: by branch name, each would land in the snapshot of the
    // commit that last touched it.
    const { sha } = await hub.modelInfo({
      name: id.repository,
      revision: id.revision,
      additionalFields: ['sha'],
      accessToken: connection.accessToken,
      hubUrl: connection.hubUrl,
    });
    const paths: string[] = [];
    for await (const file of hub.listFiles({ ...connection, revision: sha, recursive: true })) {
      if (file.type === 'file') paths.push(file.path);
    }
    for (const path of neededFiles(paths, options.variant, options.holds)) {
      await hub.downloadFileToCacheDir({
        ...connection,
        path,
        revision: sha,
        cacheDir: cacheFolder,
      });
    }
    await writeRef(cacheFolder, id, sha);
    return await findInCache(cacheFolder, { ...id, revision: sha });
  } catch (error) {
    if (error instanceof BookendError) throw error;
    throw new BookendError(
      'io',
      `Cannot download ${id.repository} at revision ${id.revision}: ${reasonOf(error)}; check the name, the connection and, for gated models, HF_TOKEN.`,
      { cause: error },
    );
  }
}

async function writeRef(cacheFolder: string, id: HubId, commit: string): Promise<void> {
  if (id.revision === commit) return;
  const path = join(repositoryFolder(cacheFolder, id), 'refs', ...id.revision.split('/'));
  await mkdir(dirname(path), { recursive: true });
  await writeAtomically(path, (handle) => handle.writeFile(commit));
}

function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.split('\n', 1)[0].replace(/\.$/, '').slice(0, 200);
}
