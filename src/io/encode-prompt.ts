import type { ClipTokenizer } from './clip-tokenizer.ts';
import { parsePrompt } from './prompt-weights.ts';

/** One window of the text encoder. */
export interface PromptChunk {
  /** `tokenizer.maxLength` ids: start, at most 75 tokens, end, padding. */
  readonly ids: Int32Array;
  /** A weight per id; start, end and padding have 1. */
  readonly weights: Float32Array;
}

export interface EncodedPrompt {
  /** At least one. Their embeddings are joined along the sequence. */
  readonly chunks: readonly PromptChunk[];
  /** Whether some weight differs from 1; otherwise embeddings are to be used as they are. */
  readonly weighted: boolean;
}

/**
 * Turns a prompt with weights (see `parsePrompt`) into as many windows as its tokens need. Without
 * brackets and with at most 75 tokens, that is one window with exactly `encodePadded(prompt)`.
 * `BREAK` ends a window early; empty windows are left out.
 *
 * @throws BookendError `invalid-argument` as `parsePrompt` and `ClipTokenizer.encode` do
 */
export function encodePrompt(tokenizer: ClipTokenizer, prompt: string): EncodedPrompt {
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
  return { chunks, weighted: chunks.some((chunk) => chunk.weights.some((w) => w !== 1)) };
}

/** Adds empty windows to the shorter prompts: guidance needs embeddings of one length. */
export function equalizeChunks(
  tokenizer: ClipTokenizer,
  prompts: readonly EncodedPrompt[],
): EncodedPrompt[] {
  const count = Math.max(0, ...prompts.map((prompt) => prompt.chunks.length));
  return prompts.map(({ chunks, weighted }) => {
    const missing = Array.from({ length: count - chunks.length }, () =>
      makeChunk(tokenizer, [], []),
    );
    return { chunks: [...chunks, ...missing], weighted };
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
