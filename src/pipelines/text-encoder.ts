import { BookendError } from '../core/errors.ts';
import { tensor } from '../core/tensor.ts';
import type { ClipTokenizer } from '../io/clip-tokenizer.ts';
import { encodePrompt, equalizeChunks, type PromptChunk } from '../io/encode-prompt.ts';
import { buildCLIPTextModel, type CLIPTextSize } from '../models/clip-text-model.ts';
import type { CLIPTextConfig } from '../models/clip-text-model-config.ts';
import type { Executable } from '../runtime/backend.ts';
import { type Compile, CompiledModel } from './compiled-model.ts';

/** Hidden states of prompts, [prompts, tokens, width], every prompt padded to the same length. */
export interface PromptEmbeddings {
  readonly data: Float32Array;
  readonly prompts: number;
  readonly tokens: number;
  readonly width: number;
}

/** What to embed. */
export interface Prompt {
  readonly text: string;
  /** Last layers of the text model to leave out. */
  readonly clipSkip: number;
}

/** Prompts cut into windows, every one into equally many. */
export interface TokenizedPrompts {
  readonly prompts: readonly {
    readonly chunks: readonly PromptChunk[];
    readonly clipSkip: number;
  }[];
  /** Of each prompt, windows and their padding included. */
  readonly tokens: number;
}

/** The U-Net attends to every window: far beyond what any model was trained for. */
const MAX_WINDOWS = 64;

/** Tokenizer and CLIP text model as one function from prompts to embeddings. */
export class TextEncoder {
  readonly tokenizer: ClipTokenizer;
  readonly config: CLIPTextConfig;
  readonly #model: CompiledModel<CLIPTextSize>;

  constructor(tokenizer: ClipTokenizer, config: CLIPTextConfig, compile: Compile) {
    this.tokenizer = tokenizer;
    this.config = config;
    this.#model = new CompiledModel((size) => buildCLIPTextModel(config, size), compile);
  }

  /**
   * Cuts prompts into windows of 77 tokens: `(word:1.3)` weighs, and a longer prompt takes as many
   * windows as it needs; all prompts get the number of the longest.
   *
   * @throws BookendError `invalid-argument` for prompts that do not parse or need too many windows
   */
  tokenize(prompts: readonly Prompt[]): TokenizedPrompts {
    const encoded = prompts.map(({ text }) => encodePrompt(this.tokenizer, text));
    const windows = Math.max(...encoded.map((chunks) => chunks.length));
    if (windows > MAX_WINDOWS) {
      const capacity = this.tokenizer.maxLength - 2;
      throw new BookendError(
        'invalid-argument',
        `The prompt takes ${windows} windows of ${capacity} tokens; shorten it to at most ${MAX_WINDOWS}.`,
      );
    }
    const equal = equalizeChunks(this.tokenizer, encoded);
    return {
      prompts: equal.map((chunks, i) => ({ chunks, clipSkip: prompts[i].clipSkip })),
      tokens: windows * this.tokenizer.maxLength,
    };
  }

  /** @throws BookendError `invalid-argument` for a `clipSkip` that leaves no layer; `aborted` */
  async encode(
    { prompts, tokens }: TokenizedPrompts,
    signal?: AbortSignal,
  ): Promise<PromptEmbeddings> {
    const { width } = this.config;
    const data = new Float32Array(prompts.length * tokens * width);
    for (const [i, { chunks, clipSkip }] of prompts.entries()) {
      const size = { batch: 1, tokens: this.tokenizer.maxLength, clipSkip };
      const states = await this.#model.use(size, (model) => encodeChunks(model, chunks, signal));
      data.set(states, i * states.length);
    }
    return { data, prompts: prompts.length, tokens, width };
  }

  dispose(): void {
    this.#model.dispose();
  }
}

/** Hidden states of one prompt's windows, weighted, one after the other. */
async function encodeChunks(
  model: Executable,
  chunks: readonly PromptChunk[],
  signal: AbortSignal | undefined,
): Promise<Float32Array> {
  const windows: Float32Array[] = [];
  for (const { ids, weights } of chunks) {
    const inputIds = tensor('s32', [1, ids.length], ids);
    const { lastHiddenState } = await model.run({ inputIds }, { signal });
    windows.push(weighted(lastHiddenState.data as Float32Array, weights));
  }
  const [{ length }] = windows;
  const states = new Float32Array(windows.length * length);
  for (const [i, window] of windows.entries()) states.set(window, i * length);
  return states;
}

/**
 * Scales each token's hidden state by its weight, then the whole window so that its mean is what it
 * was: emphasis moves attention between words without brightening or dulling the text as a whole
 * (the convention of the A1111 web interface).
 */
function weighted(states: Float32Array, weights: Float32Array): Float32Array {
  if (weights.every((weight) => weight === 1)) return states;
  const width = states.length / weights.length;
  const scaled = states.map((value, i) => value * weights[Math.floor(i / width)]);
  const after = mean(scaled);
  if (after === 0) return scaled;
  const restore = mean(states) / after;
  return scaled.map((value) => value * restore);
}

function mean(values: Float32Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}
