import { BookendError } from '../core/errors.ts';
import { MAX_PROMPT_CHARACTERS } from './clip-tokenizer.ts';

/** A run of text whose tokens share a weight, or the mark that the next window begins here. */
export type PromptFragment = { readonly text: string; readonly weight: number } | 'break';

/** What one pair of brackets multiplies a weight with, unless it says otherwise. */
const STEP = 1.1;
const MAX_NESTING = 100;
const MAX_WEIGHT = 100;

interface Group {
  /** `(`, `[`, or empty for the whole prompt. */
  readonly opening: string;
  readonly items: (string | Group)[];
  factor: number;
}

/**
 * Parses the prompt syntax of the AUTOMATIC1111 web UI: `(text)` weighs 1.1, `[text]` 1/1.1,
 * `(text:1.3)` 1.3, nested brackets multiply, a backslash makes the bracket after it plain text, and
 * `BREAK` starts a new window. Brackets need not balance: an open one reaches to the end, a closing
 * one alone is plain text. A prompt without any of these is one fragment of weight 1, unchanged.
 *
 * @throws BookendError `invalid-argument` for more than 100,000 characters, 100 open brackets or
 * weights beyond ±100
 */
export function parsePrompt(prompt: string): PromptFragment[] {
  if (prompt.length > MAX_PROMPT_CHARACTERS) {
    throw new BookendError(
      'invalid-argument',
      `The prompt has ${prompt.length} characters; use at most ${MAX_PROMPT_CHARACTERS}.`,
    );
  }
  const fragments: PromptFragment[] = [];
  flatten(parseGroups(prompt), 1, fragments);
  return merge(fragments);
}

// An escaped character, "(", "[", ":1.3)", ")", "]", or text free of all of these.
const TOKENS =
  /\\[\\()[\]]|[([\])]|:\s*(?<weight>[+-]?(?:\d+(?:\.\d*)?|\.\d+))\s*\)|[^\\()[\]:]+|[\\:]/g;

function parseGroups(prompt: string): Group {
  const root: Group = { opening: '', items: [], factor: 1 };
  const open = [root];
  for (const match of prompt.matchAll(TOKENS)) {
    const [token] = match;
    const group = open[open.length - 1];
    if (token === '(' || token === '[') {
      const inner: Group = { opening: token, items: [], factor: token === '(' ? STEP : 1 / STEP };
      group.items.push(inner);
      open.push(inner);
      if (open.length > MAX_NESTING + 1) throw tooDeep();
    } else if (match.groups?.weight !== undefined && group.opening === '(') {
      group.factor = Number(match.groups.weight);
      open.pop();
    } else if (token === CLOSING[group.opening]) {
      open.pop();
    } else {
      group.items.push(/^\\[\\()[\]]$/.test(token) ? token[1] : token);
    }
  }
  return root;
}

const CLOSING: Record<string, string> = { '(': ')', '[': ']' };

function flatten(group: Group, outer: number, fragments: PromptFragment[]): void {
  const weight = outer * group.factor;
  if (Math.abs(weight) > MAX_WEIGHT) {
    throw new BookendError(
      'invalid-argument',
      `The prompt gives some words a weight of ${weight.toPrecision(3)}; stay within ±${MAX_WEIGHT}.`,
    );
  }
  for (const item of group.items) {
    if (typeof item === 'string') fragments.push({ text: item, weight });
    else flatten(item, weight, fragments);
  }
}

/** Joins neighbours of one weight, so that words are never cut, and then splits at `BREAK`. */
function merge(fragments: readonly PromptFragment[]): PromptFragment[] {
  const joined: { text: string; weight: number }[] = [];
  for (const fragment of fragments) {
    if (fragment === 'break') continue;
    const last = joined.at(-1);
    if (last && last.weight === fragment.weight) last.text += fragment.text;
    else joined.push({ ...fragment });
  }
  const split: PromptFragment[] = [];
  for (const { text, weight } of joined) {
    text.split(/\bBREAK\b/).forEach((part, i) => {
      if (i > 0) split.push('break');
      if (part !== '') split.push({ text: part, weight });
    });
  }
  return split;
}

function tooDeep(): BookendError {
  return new BookendError(
    'invalid-argument',
    `The prompt has more than ${MAX_NESTING} brackets open at once; close some or write \\( for a plain one.`,
  );
}
