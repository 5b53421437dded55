import { z } from 'zod';
import { BookendError } from '../core/errors.ts';

/*
 * Helpers to read a model's published config.json: keys are those of diffusers and transformers,
 * absent keys take the defaults of those libraries, and unknown keys are left alone as they do.
 */

/** Large enough for every published model, small enough that no config can exhaust memory. */
const MAX_EXTENT = 65536;

export const extent = z.int().min(1).max(MAX_EXTENT);
export const extents = z.array(extent).min(1).max(16);
export const oneOrPerLevel = z.union([extent, extents]);
export const positive = z.number().positive().finite();
export const blockTypes = z.array(z.string()).min(1).max(16);

/**
 * Checks `json` against `schema`.
 *
 * @throws BookendError `invalid-checkpoint` naming the first key that has the wrong type
 */
export function readConfig<T>(model: string, schema: z.ZodType<T>, json: unknown): T {
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0];
  const where = path.length > 0 ? `the key ${path.join('.')}` : 'the whole';
  throw new BookendError(
    'invalid-checkpoint',
    `The configuration of ${model} is not valid at ${where} (${message}); use the config.json that belongs to the weights.`,
  );
}

/** What a key may be; the first entry is the library's default, for when the key is absent. */
export type SupportedValues = Readonly<Record<string, readonly unknown[]>>;

/**
 * Refuses features that would change the network and that Bookend lacks.
 *
 * @throws BookendError `unsupported` naming the key, its value and the values that work
 */
export function requireSupported(model: string, json: unknown, supported: SupportedValues): void {
  const config = json as Record<string, unknown>;
  for (const [key, values] of Object.entries(supported)) {
    const found = config[key] === undefined ? values[0] : config[key];
    if (!values.includes(found)) throw unsupported(model, key, found, values);
  }
}

export function unsupported(
  model: string,
  key: string,
  found: unknown,
  values: readonly unknown[],
): BookendError {
  const listed = values.map((value) => JSON.stringify(value)).join(' or ');
  return new BookendError(
    'unsupported',
    `${model} has ${key} = ${JSON.stringify(found)?.slice(0, 100)}, but only ${listed} is supported; choose another model.`,
  );
}

/**
 * A value per level from one for all or a list.
 *
 * @throws BookendError `invalid-checkpoint` when a list has another length
 */
export function perLevel<T>(
  model: string,
  key: string,
  value: T | readonly T[],
  levels: number,
): T[] {
  if (!Array.isArray(value)) return Array.from({ length: levels }, () => value as T);
  if (value.length === levels) return [...value];
  throw new BookendError(
    'invalid-checkpoint',
    `${model} lists ${value.length} values of ${key} for the ${levels} levels of block_out_channels; list one for each.`,
  );
}

/**
 * Maps block type names to what they contain.
 *
 * @throws BookendError `unsupported` for a name that `known` lacks
 */
export function blockKinds<T>(
  model: string,
  key: string,
  names: readonly string[],
  known: Readonly<Record<string, T>>,
): T[] {
  return names.map((name) => {
    if (!Object.hasOwn(known, name)) throw unsupported(model, key, name, Object.keys(known));
    return known[name];
  });
}

/**
 * Checks that `count` divides the channels of every level.
 *
 * @param what the count in words, such as `norm_num_groups = 32, which does`
 * @throws BookendError `invalid-checkpoint`
 */
export function requireDivides(model: string, what: string, count: number, channels: number): void {
  if (channels % count === 0) return;
  throw new BookendError(
    'invalid-checkpoint',
    `${model} has ${what} not divide the ${channels} channels of a level; use the config.json that belongs to the weights.`,
  );
}

/** GroupNorm needs equal groups at every level. */
export function requireGroups(model: string, groups: number, channels: readonly number[]): void {
  for (const count of channels) {
    requireDivides(model, `norm_num_groups = ${groups}, which does`, groups, count);
  }
}
