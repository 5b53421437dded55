import { BookendError, type ErrorCode } from '../core/errors.ts';

/*
 * Which layers a rule means. A pattern is a layer path in which `*` stands for any characters, dots
 * included: `down_blocks.*.resnets.*` means every layer of every residual block on the way down.
 */

const MAX_LENGTH = 200;

/** @throws BookendError `code` for a pattern that cannot be one */
export function requirePattern(pattern: string, code: ErrorCode = 'invalid-argument'): string {
  if (pattern.length <= MAX_LENGTH && /^[\w.*]+$/.test(pattern)) return pattern;
  throw new BookendError(
    code,
    `The layer pattern ${JSON.stringify(pattern.slice(0, 80))} is not made of letters, digits, dots, underscores and "*" alone, at most ${MAX_LENGTH} of them; write one such as "down_blocks.*.resnets.*".`,
  );
}

/**
 * Whether `path` fits `pattern`. Only the latest `*` is ever extended, so the work is bounded by the
 * product of the lengths whatever the pattern.
 */
export function matchesPattern(pattern: string, path: string): boolean {
  let p = 0;
  let at = 0;
  let star = -1;
  let resume = 0;
  while (at < path.length) {
    if (pattern[p] === '*') {
      star = p++;
      resume = at;
    } else if (pattern[p] === path[at]) {
      p++;
      at++;
    } else if (star >= 0) {
      p = star + 1;
      at = ++resume;
    } else {
      return false;
    }
  }
  while (pattern[p] === '*') p++;
  return p === pattern.length;
}

export function matchesAny(patterns: readonly string[], path: string): boolean {
  return patterns.some((pattern) => matchesPattern(pattern, path));
}
