import type { FeatureExtractor } from '../../evaluation/feature-extractor.ts';
import type { InceptionOptions } from './inception-extractor.ts';
import { loadFidInception } from './load-inception.ts';
import { loadNsfwjsInception } from './nsfwjs-inception.ts';

/** What asks for the extractor of npm's nsfwjs, with the folder it is in, the current one by default. */
const NSFWJS = /^nsfwjs(?::(.+))?$/;

/**
 * The extractor that a reference names: `nsfwjs` or `nsfwjs:FOLDER` that of the npm package, anything
 * else that of the standard FID (see `loadNsfwjsInception` and `loadFidInception`).
 *
 * @throws BookendError as these do
 */
export async function loadExtractor(
  reference: string,
  options?: InceptionOptions,
): Promise<FeatureExtractor> {
  const installed = NSFWJS.exec(reference);
  if (installed) return loadNsfwjsInception(installed[1] ?? '.', options);
  return loadFidInception(reference, options);
}
