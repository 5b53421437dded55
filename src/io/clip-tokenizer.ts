import { BookendError } from '../core/errors.ts';
import { type Merge, mergePairs } from './byte-pairs.ts';
import { readTokenizerFiles, type SpecialToken, type TokenizerFiles } from './tokenizer-files.ts';

/** Beyond any prompt; keeps hostile input from costing more than some milliseconds. */
export const MAX_PROMPT_CHARACTERS = 100_000;

const END_OF_WORD = '</w>';

// A marker, contractions, runs of letters, single digits, runs of anything else that is not space.
// A marker only shows up here when it was no special token in the raw text, as "<|EndOfText|>".
const WORDS =
  /<\|(startoftext|endoftext)\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\p{White_Space}\p{L}\p{N}]+/gu;

/**
 * CLIP's tokenizer (Radford et al., "Learning Transferable Visual Models From Natural Language
 * Supervision", 2021): NFC, lower case, words, then byte-level byte-pair encoding. Gives the ids
 * that transformers' CLIPTokenizer gives.
 */
export class ClipTokenizer {
  readonly bosId: number;
  readonly eosId: number;
  readonly padId: number;
  /** Tokens per window, the two markers included: 77 for every CLIP. */
  readonly maxLength: number;
  readonly vocabularySize: number;
  readonly #vocabulary: ReadonlyMap<string, number>;
  readonly #merges: ReadonlyMap<number, Merge>;
  readonly #rawSpecial: RegExp | undefined;
  readonly #normalizedSpecial: RegExp | undefined;
  readonly #unknownId: number;

  constructor(files: TokenizerFiles) {
    this.#vocabulary = files.vocabulary;
    this.vocabularySize = largestId(files.vocabulary) + 1;
    this.maxLength = files.maxLength;
    this.#merges = indexMerges(files, this.vocabularySize);
    this.#rawSpecial = matcher(files.special.filter((token) => !token.normalized));
    this.#normalizedSpecial = matcher(files.special.filter((token) => token.normalized));
    const idOf = (token: string) => requireToken(files, token);
    this.bosId = idOf(files.bosToken);
    this.eosId = idOf(files.eosToken);
    this.padId = idOf(files.padToken);
    this.#unknownId = idOf(files.unknownToken);
    for (const { content } of files.special) idOf(content);
  }

  /**
   * The ids of `text`, without start, end or padding.
   *
   * @throws BookendError `invalid-argument` for more than 100,000 characters
   */
  encode(text: string): number[] {
    if (text.length > MAX_PROMPT_CHARACTERS) {
      throw new BookendError(
        'invalid-argument',
        `The prompt has ${text.length} characters; use at most ${MAX_PROMPT_CHARACTERS}.`,
      );
    }
    const ids: number[] = [];
    for (const raw of splitAt(this.#rawSpecial, text)) {
      if (raw.special) {
        ids.push(this.#vocabulary.get(raw.text)!);
        continue;
      }
      for (const part of splitAt(this.#normalizedSpecial, normalize(raw.text))) {
        if (part.special) ids.push(this.#vocabulary.get(part.text)!);
        else for (const word of words(part.text)) this.#encodeWord(word, ids);
      }
    }
    return ids;
  }

  /** Start, at most `maxLength - 2` ids of `text`, end, padding: what the text encoder reads. */
  encodePadded(text: string): Int32Array {
    return this.frame(this.encode(text));
  }

  /** Puts ids between start and end and pads them to a window; what does not fit is cut off. */
  frame(ids: readonly number[]): Int32Array {
    const kept = ids.slice(0, this.maxLength - 2);
    const window = new Int32Array(this.maxLength).fill(this.padId);
    window[0] = this.bosId;
    window.set(kept, 1);
    window[kept.length + 1] = this.eosId;
    return window;
  }

  #encodeWord(word: string, ids: number[]): void {
    const characters = Array.from(Buffer.from(word, 'utf8'), (byte) => BYTE_CHARACTERS[byte]);
    characters[characters.length - 1] += END_OF_WORD;
    const symbols = characters.map((c) => this.#vocabulary.get(c) ?? this.#unknownId);
    const merged = mergePairs(symbols, (a, b) => this.#merges.get(a * this.vocabularySize + b));
    for (const id of merged) ids.push(id);
  }
}

/** Reads the tokenizer in `folder`. @throws BookendError as `readTokenizerFiles` does */
export async function loadClipTokenizer(folder: string): Promise<ClipTokenizer> {
  return new ClipTokenizer(await readTokenizerFiles(folder));
}

/**
 * Lower-casing is by character, so a final sigma gets no form of its own, unlike in JavaScript.
 * Space needs no collapsing, since words are matched between it.
 */
function normalize(text: string): string {
  return text.toWellFormed().normalize('NFC').replaceAll('Σ', 'σ').toLowerCase();
}

/** Words in order; a marker falls into three, since its second splitting knows no markers. */
function* words(text: string): Iterable<string> {
  for (const [word, marker] of text.matchAll(WORDS)) {
    if (marker === undefined) yield word;
    else yield* ['<|', marker, '|>'];
  }
}

/** GPT-2's table: printable Latin-1 stands for itself, other bytes for characters from U+0100 on. */
const BYTE_CHARACTERS: readonly string[] = (() => {
  const printable = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xff && byte !== 0xad);
  let shifted = 0x100;
  return Array.from({ length: 256 }, (_, byte) =>
    String.fromCharCode(printable(byte) ? byte : shifted++),
  );
})();

function indexMerges(files: TokenizerFiles, vocabularySize: number): Map<number, Merge> {
  const merges = new Map<number, Merge>();
  files.merges.forEach(([left, right], rank) => {
    const a = requireToken(files, left);
    const b = requireToken(files, right);
    merges.set(a * vocabularySize + b, { rank, id: requireToken(files, left + right) });
  });
  return merges;
}

function requireToken(files: TokenizerFiles, token: string): number {
  const id = files.vocabulary.get(token);
  if (id !== undefined) return id;
  throw new BookendError(
    'invalid-checkpoint',
    `The tokenizer in ${files.folder} uses the token ${JSON.stringify(token.slice(0, 80))}, which its vocabulary of ${files.vocabulary.size} lacks; fetch or export it again.`,
  );
}

/** Not `Math.max(...)`: a vocabulary has more entries than a call may have arguments. */
function largestId(vocabulary: ReadonlyMap<string, number>): number {
  let largest = 0;
  for (const id of vocabulary.values()) largest = Math.max(largest, id);
  return largest;
}

/** Longer tokens first: the longest of those that match at a place is taken. */
function matcher(tokens: readonly SpecialToken[]): RegExp | undefined {
  if (tokens.length === 0) return undefined;
  const longestFirst = tokens.map((t) => t.content).sort((a, b) => b.length - a.length);
  const escaped = longestFirst.map((content) => content.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&'));
  return new RegExp(escaped.join('|'), 'g');
}

function* splitAt(
  pattern: RegExp | undefined,
  text: string,
): Iterable<{ text: string; special: boolean }> {
  let from = 0;
  for (const match of pattern ? text.matchAll(pattern) : []) {
    if (match.index > from) yield { text: text.slice(from, match.index), special: false };
    yield { text: match[0], special: true };
    from = match.index + match[0].length;
  }
  if (from < text.length) yield { text: text.slice(from), special: false };
}
