import type { ClipTokenizer } from './clip-tokenizer.ts';
import { parsePrompt } from './prompt-weights.ts';

/** One window of the text encoder. */
export interface PromptChunk {
  /** `tokenizer.maxLength` ids: start, at most 75 tokens, end, padding. */
  readonly ids: Int32Array;
  /** A weight per id; start, end and padding have 1. */
  readonly weights: Float32Array;
}

/**
 * Turns a prompt with weights (see `parsePrompt`) into as many windows as its tokens need, at least
 * one; their embeddings are to be joined along the sequence. Without brackets and with at most 75
 * tokens, that is one window with exactly `encodePadded(prompt)`.
 * `BREAK` ends a window early; empty windows are left out.
 *
 * @throws BookendError `invalid-argument` as `parsePrompt` and `ClipTokenizer.encode` do
 */
export function encodePrompt(tokenizer: ClipTokenizer, prompt: string): PromptChunk[] {
  const capacity = tokenizer.maxLength - 2;
  const chunks: PromptChunk[] = [];
  let ids: number[] = [];
  let weights: number[] = [];
  const finish = () => {
    chunks.push(makeChunk(tokenizer, ids, weights));
    ids = [];
    weights = [];
  };
  for (const fragment of parsePrompt(prompt)) {
    if (fragment === 'break') {
      if (ids.length > 0) finish();
      continue;
    }
    for (const id of tokenizer.encode(fragment.text)) {
      if (ids.length === capacity) finish();
      ids.push(id);
      weights.push(fragment.weight);
    }
  }
  if (ids.length > 0 || chunks.length === 0) finish();
  return chunks;
}

/** Adds empty windows to the shorter prompts: guidance needs embeddings of one length. */
export function equalizeChunks(
  tokenizer: ClipTokenizer,
  prompts: readonly (readonly PromptChunk[])[],
): PromptChunk[][] {
  const count = Math.max(0, ...prompts.map((chunks) => chunks.length));
  return prompts.map((chunks) => {
    const missing = Array.from({ length: count - chunks.length }, () =>
      makeChunk(tokenizer, [], []),
    );
    return [...chunks, ...missing];
  });
}

function makeChunk(
  tokenizer: ClipTokenizer,
  ids: readonly number[],
  tokenWeights: readonly number[],
): PromptChunk {
  const weights = new Float32Array(tokenizer.maxLength).fill(1);
  weights.set(tokenWeights, 1);
  return { ids: tokenizer.frame(ids), weights };
}
