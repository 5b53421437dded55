import { hashFiles, hashText } from '../../io/file-hash.ts';
import type { WeightedComponent } from '../../io/key-aliases.ts';
import { resolveIsa } from '../../runtime/native/cpu.ts';
import type { ModelParts } from '../model-parts.ts';
import type { HighPrecision } from '../request.ts';
import { weightFiles } from '../weights.ts';

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
  const weights = await hashFiles(weightFiles(source));
  const config = await parts.config(component);
  return hashText(JSON.stringify([component, config, weights, precision, resolveIsa()]));
}
