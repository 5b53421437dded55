import { tensor } from '../core/tensor.ts';
import type { ClipTokenizer } from '../io/clip-tokenizer.ts';
import { encodePrompt, equalizeChunks, type PromptChunk } from '../io/encode-prompt.ts';
import { buildCLIPTextModel, type CLIPTextSize } from '../models/clip-text-model.ts';
import type { CLIPTextConfig } from '../models/clip-text-model-config.ts';
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
   * Embeds prompts. `(word:1.3)` weighs, and a prompt longer than one window of 77 tokens takes as
   * many windows as it needs; all prompts of a call get the window count of the longest.
   *
   * @throws BookendError `invalid-argument` for prompts that do not parse, or a `clipSkip` that
   * leaves no layer
   */
  async encode(prompts: readonly Prompt[], signal?: AbortSignal): Promise<PromptEmbeddings> {
    const encoded = equalizeChunks(
      this.tokenizer,
      prompts.map(({ text }) => encodePrompt(this.tokenizer, text)),
    );
    const windows = encoded[0].chunks.length;
    const length = encoded[0].chunks[0].ids.length;
    const { width } = this.config;
    const data = new Float32Array(prompts.length * windows * length * width);
    for (const [i, { clipSkip }] of prompts.entries()) {
      const states = await this.#run(encoded[i].chunks, clipSkip, signal);
      data.set(states, i * states.length);
    }
    return { data, prompts: prompts.length, tokens: windows * length, width };
  }

  dispose(): Promise<void> {
    return this.#model.dispose();
  }

  /** Hidden states of one prompt's windows, weighted, one after the other. */
  async #run(
    chunks: readonly PromptChunk[],
    clipSkip: number,
    signal?: AbortSignal,
  ): Promise<Float32Array> {
    const tokens = chunks[0].ids.length;
    const executable = await this.#model.at({ batch: 1, tokens, clipSkip });
    const states = new Float32Array(chunks.length * tokens * this.config.width);
    for (const [i, { ids, weights }] of chunks.entries()) {
      const inputIds = tensor('s32', [1, tokens], ids);
      const { lastHiddenState } = await executable.run({ inputIds }, { signal });
      const window = Float32Array.from(lastHiddenState.data);
      applyWeights(window, weights);
      states.set(window, i * window.length);
    }
    return states;
  }
}

/**
 * Scales each token's hidden state by its weight, then the whole window so that its mean is what it
 * was: emphasis moves attention between words without brightening or dulling the text as a whole
 * (the convention of the A1111 web interface).
 */
function applyWeights(states: Float32Array, weights: Float32Array): void {
  if (weights.every((weight) => weight === 1)) return;
  const width = states.length / weights.length;
  const before = mean(states);
  for (let i = 0; i < states.length; i++) states[i] *= weights[Math.floor(i / width)];
  const after = mean(states);
  if (after === 0) return;
  const restore = before / after;
  for (let i = 0; i < states.length; i++) states[i] *= restore;
}

function mean(values: Float32Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}
