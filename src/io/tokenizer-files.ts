import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { BookendError } from '../core/errors.ts';
import { asIoError } from './io-error.ts';
import { isJsonObject, type JsonObject, readJsonObject, readText } from './json-file.ts';

/** A token that is found in the text itself, before any splitting. */
export interface SpecialToken {
  readonly content: string;
  /** Whether it is looked for in the normalized (lower-case) text rather than in the raw one. */
  readonly normalized: boolean;
}

/** What a tokenizer folder says, whichever files say it. */
export interface TokenizerFiles {
  readonly folder: string;
  readonly vocabulary: ReadonlyMap<string, number>;
  /** Pairs to merge, most urgent first. */
  readonly merges: readonly (readonly [string, string])[];
  readonly special: readonly SpecialToken[];
  readonly bosToken: string;
  readonly eosToken: string;
  readonly padToken: string;
  readonly unknownToken: string;
  /** Window of the text encoder in tokens. */
  readonly maxLength: number;
}

const ROLES = ['bos_token', 'eos_token', 'unk_token', 'pad_token'] as const;
type Role = (typeof ROLES)[number];

const DEFAULT_TOKENS: Record<Role, string> = {
  bos_token: '<|startoftext|>',
  eos_token: '<|endoftext|>',
  unk_token: '<|endoftext|>',
  pad_token: '<|endoftext|>',
};

const DEFAULT_MAX_LENGTH = 77;

/**
 * Reads a CLIP tokenizer folder: `vocab.json` with `merges.txt`, or `tokenizer.json`, and the
 * optional `tokenizer_config.json` and `special_tokens_map.json` (which wins where both speak: the
 * two disagree about padding in SD 2.x).
 *
 * @throws BookendError `not-found`, `io` or `invalid-checkpoint`
 */
export async function readTokenizerFiles(folder: string): Promise<TokenizerFiles> {
  const present = await readdir(folder).catch((error) => {
    throw asIoError('read', folder, error);
  });
  const optional = async (name: string): Promise<JsonObject> =>
    present.includes(name) ? readJsonObject(join(folder, name)) : {};
  const config = await optional('tokenizer_config.json');
  const declared: JsonObject = { ...config, ...(await optional('special_tokens_map.json')) };
  const tokens = Object.fromEntries(
    ROLES.map((role) => [role, contentOf(declared[role]) ?? DEFAULT_TOKENS[role]]),
  ) as Record<Role, string>;
  const model = present.includes('vocab.json')
    ? await readVocabularyAndMerges(folder, declared, tokens)
    : await readTokenizerJson(folder, present);
  return {
    folder,
    ...model,
    bosToken: tokens.bos_token,
    eosToken: tokens.eos_token,
    padToken: tokens.pad_token,
    unknownToken: tokens.unk_token,
    maxLength: maxLength(config.model_max_length),
  };
}

type Model = Pick<TokenizerFiles, 'vocabulary' | 'merges' | 'special'>;

async function readVocabularyAndMerges(
  folder: string,
  declared: JsonObject,
  tokens: Record<Role, string>,
): Promise<Model> {
  const vocabularyPath = join(folder, 'vocab.json');
  const vocabulary = parseVocabulary(await readJsonObject(vocabularyPath), vocabularyPath);
  const mergesPath = join(folder, 'merges.txt');
  const lines = (await readText(mergesPath)).split('\n').map((line) => line.replace(/\r$/, ''));
  if (lines[0].startsWith('#version')) lines.shift();
  const merges = lines.filter((line) => line !== '').map((line) => parsePair(line, mergesPath));
  // A bare string declares a token to be taken as it stands, an object says so for itself.
  const raw = new Set(
    ROLES.filter((role) => !isNormalized(declared[role])).map((role) => tokens[role]),
  );
  const special = [...new Set(Object.values(tokens))].map((content) => ({
    content,
    normalized: !raw.has(content),
  }));
  return { vocabulary, merges, special };
}

async function readTokenizerJson(folder: string, present: string[]): Promise<Model> {
  if (!present.includes('tokenizer.json')) {
    throw new BookendError(
      'not-found',
      `${folder} has neither vocab.json with merges.txt nor tokenizer.json; fetch the tokenizer's files.`,
    );
  }
  const path = join(folder, 'tokenizer.json');
  const { model, added_tokens: added } = await readJsonObject(path);
  if (!isJsonObject(model) || !isJsonObject(model.vocab) || !Array.isArray(model.merges)) {
    throw malformed(path, 'no model of vocab and merges');
  }
  if (model.end_of_word_suffix !== '</w>') {
    throw malformed(path, 'a model without the end_of_word_suffix "</w>" of CLIP');
  }
  const special: SpecialToken[] = [];
  for (const token of Array.isArray(added) ? added : []) {
    const content = contentOf(token);
    if (content !== undefined) special.push({ content, normalized: isNormalized(token) });
  }
  return {
    vocabulary: parseVocabulary(model.vocab, path),
    merges: model.merges.map((merge) => parsePair(merge, path)),
    special,
  };
}

function parseVocabulary(object: JsonObject, path: string): Map<string, number> {
  const vocabulary = new Map<string, number>();
  for (const [token, id] of Object.entries(object)) {
    if (!Number.isInteger(id) || (id as number) < 0 || (id as number) >= 2 ** 24) {
      throw malformed(path, `the id ${JSON.stringify(id)} for ${JSON.stringify(token)}`);
    }
    vocabulary.set(token, id as number);
  }
  return vocabulary;
}

function parsePair(merge: unknown, path: string): [string, string] {
  const pair = typeof merge === 'string' ? merge.split(' ') : merge;
  if (Array.isArray(pair) && pair.length === 2 && pair.every((part) => typeof part === 'string')) {
    return pair as [string, string];
  }
  throw malformed(path, `the merge ${JSON.stringify(merge)?.slice(0, 80)}, not two tokens`);
}

function contentOf(token: unknown): string | undefined {
  if (typeof token === 'string') return token === '' ? undefined : token;
  if (isJsonObject(token) && typeof token.content === 'string') return contentOf(token.content);
  return undefined;
}

function isNormalized(token: unknown): boolean {
  return isJsonObject(token) && token.normalized === true;
}

/** Libraries write 1e30 where the length is unknown. */
function maxLength(value: unknown): number {
  const sound = Number.isInteger(value) && (value as number) >= 3 && (value as number) <= 4096;
  return sound ? (value as number) : DEFAULT_MAX_LENGTH;
}

function malformed(path: string, found: string): BookendError {
  return new BookendError(
    'invalid-checkpoint',
    `${path} has ${found}; fetch or export the tokenizer again.`,
  );
}
