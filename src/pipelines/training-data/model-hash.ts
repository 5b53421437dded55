import { hashFiles, hashText } from '../../io/file-hash.ts';
import type { WeightedComponent } from '../../io/key-aliases.ts';
import { resolveIsa } from '../../runtime/native/cpu.ts';
import type { ModelParts } from '../model-parts.ts';
import type { HighPrecision } from '../request.ts';

/**
 * What tells the answers of one network of a model from those of every other: configuration, weights
 * and how they are computed, since instruction sets round differently.
 *
 * @throws BookendError as opening the weights does
 */
export async function componentHash(
  parts: ModelParts,
  component: WeightedComponent,
  precision: HighPrecision,
): Promise<string> {
  const source = await parts.weights(component);
  const files = new Set([...source.names()].map((name) => source.locate(name).path));
  const weights = await hashFiles([...files].sort());
  const config = await parts.config(component);
  return hashText(JSON.stringify([component, config, weights, precision, resolveIsa()]));
}
