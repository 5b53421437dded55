import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { BookendError } from '../core/errors.ts';
import { asIoError } from './io-error.ts';
import { isJsonObject, readJsonObject } from './json-file.ts';
import { isPickle, pickleRefusal } from './pickle.ts';
import { openSafetensors, type SafetensorsFile } from './safetensors.ts';
import { sourceOfViews, type TensorSource, type TensorView, viewsOfFile } from './tensor-source.ts';

export interface CheckpointOptions {
  /** The part between name and suffix, such as `fp16` in `model.fp16.safetensors`. */
  readonly variant?: string;
}

const BASE_NAMES = ['diffusion_pytorch_model', 'model'];

/**
 * Opens the weights of one model: a `.safetensors` file, a `.safetensors.index.json`, or a folder
 * that holds either under the names diffusers and transformers use. A variant is never replaced by
 * another one: what is asked for is there or the error lists what is.
 *
 * @throws BookendError `not-found`, `io`, `invalid-checkpoint`, or `unsupported` for pickles
 */
export async function openCheckpoint(
  path: string,
  options: CheckpointOptions = {},
): Promise<TensorSource> {
  if (await isFolder(path)) return openWeights(path, options.variant);
  if (/\.index\.([^.]+\.)?json$/.test(path)) {
    return openSharded(dirname(path), basename(path));
  }
  const file = await openSafetensors(path);
  return sourceOfViews(path, viewsOfFile(file), [file]);
}

/** @throws BookendError `not-found` or `io` */
export async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    throw asIoError('read', path, error);
  }
}

async function openWeights(folder: string, variant: string | undefined): Promise<TensorSource> {
  const present = await readdir(folder).catch((error) => {
    throw asIoError('read', folder, error);
  });
  const candidates = BASE_NAMES.flatMap((base) => weightNames(base, variant));
  const found = candidates.find((name) => present.includes(name));
  if (found === undefined) throw noWeights(folder, candidates, present);
  if (found.endsWith('.json')) return openSharded(folder, found);
  return openCheckpoint(join(folder, found));
}

/** Libraries have put the variant of an index file in three places over time. */
function weightNames(base: string, variant: string | undefined): string[] {
  if (variant === undefined) return [`${base}.safetensors`, `${base}.safetensors.index.json`];
  return [
    `${base}.${variant}.safetensors`,
    `${base}.safetensors.index.${variant}.json`,
    `${base}.${variant}.safetensors.index.json`,
    `${base}.safetensors.${variant}.index.json`,
  ];
}

function noWeights(folder: string, candidates: string[], present: string[]): BookendError {
  const weights = present.filter((name) => name.includes('.safetensors'));
  const pickle = present.find(isPickle);
  if (weights.length === 0 && pickle !== undefined) {
    return pickleRefusal(join(folder, pickle));
  }
  const there = weights.length > 0 ? weights.join(', ') : 'no safetensors file';
  return new BookendError(
    'not-found',
    `${folder} has none of ${candidates.join(', ')} but ${there}; choose another variant or fetch the missing file.`,
  );
}

async function openSharded(folder: string, indexName: string): Promise<TensorSource> {
  const indexPath = join(folder, indexName);
  const shardOf = await readWeightMap(indexPath);
  const files = new Map<string, SafetensorsFile>();
  try {
    for (const shard of new Set(shardOf.values())) {
      files.set(shard, await openSafetensors(join(folder, shard)));
    }
    const views = new Map<string, TensorView>();
    const shards = new Map([...files].map(([shard, file]) => [shard, viewsOfFile(file)]));
    for (const [name, shard] of shardOf) {
      const view = shards.get(shard)!.get(name);
      if (!view) throw missingInShard(indexPath, name, shard);
      views.set(name, view);
    }
    return sourceOfViews(indexPath, views, [...files.values()]);
  } catch (error) {
    await Promise.all([...files.values()].map((file) => file.close()));
    throw error;
  }
}

async function readWeightMap(indexPath: string): Promise<Map<string, string>> {
  const { weight_map: weightMap } = await readJsonObject(indexPath);
  if (!isJsonObject(weightMap) || Object.keys(weightMap).length === 0) {
    throw new BookendError(
      'invalid-checkpoint',
      `${indexPath} has no weight_map from tensors to shards; fetch or export it again.`,
    );
  }
  const shardOf = new Map<string, string>();
  for (const [name, shard] of Object.entries(weightMap)) {
    // The hub's cache consists of links, so where a link leads cannot be the test; the name can:
    // a plain file name never leaves the folder.
    if (typeof shard !== 'string' || !/^[\w][\w.-]*\.safetensors$/.test(shard)) {
      throw new BookendError(
        'invalid-checkpoint',
        `${indexPath} puts tensor ${JSON.stringify(name.slice(0, 100))} into ${JSON.stringify(shard)?.slice(0, 200)}, which is not the name of a safetensors file in the same folder; use a checkpoint from a source you trust.`,
      );
    }
    shardOf.set(name, shard);
  }
  return shardOf;
}

function missingInShard(indexPath: string, name: string, shard: string): BookendError {
  return new BookendError(
    'invalid-checkpoint',
    `${indexPath} promises tensor ${JSON.stringify(name.slice(0, 100))} in ${shard}, which does not have it; fetch the shard and the index again.`,
  );
}
