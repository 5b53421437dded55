import { BookendError } from '../core/errors.ts';
import { readWhole } from './read-file.ts';

export type JsonObject = Record<string, unknown>;

/** Vocabularies are the largest JSON files of a model, at a few MB. */
const MAX_BYTES = 100_000_000;

/**
 * Reads a text file of at most 100 MB.
 *
 * @throws BookendError `not-found`, `io` or `invalid-checkpoint`
 */
export async function readText(path: string): Promise<string> {
  return (await readWhole(path, MAX_BYTES, 'invalid-checkpoint')).toString('utf8');
}

/**
 * Reads a file that holds one JSON object.
 *
 * @throws BookendError `not-found`, `io` or `invalid-checkpoint`
 */
export async function readJsonObject(path: string): Promise<JsonObject> {
  const text = await readText(path);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new BookendError(
      'invalid-checkpoint',
      `${path} is not valid JSON; fetch or export it again.`,
      { cause: error },
    );
  }
  if (!isJsonObject(value)) {
    throw new BookendError(
      'invalid-checkpoint',
      `${path} does not hold a JSON object; fetch or export it again.`,
    );
  }
  return value;
}

/** The value, or undefined where the text is no JSON: schemas then say what they expected. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
