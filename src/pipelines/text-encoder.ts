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
   */
  async encode(prompts: readonly string[], clipSkip = 0): Promise<PromptEmbeddings> {
    const encoded = prompts.map((prompt) => encodePrompt(this.tokenizer, prompt));
    const chunks = equalizeChunks(this.tokenizer, encoded).flatMap((prompt) => prompt.chunks);
    const windows = chunks.length / prompts.length;
    const length = chunks[0].ids.length;
    const states = await this.#run(chunks, clipSkip);
    const { width } = this.config;
    chunks.forEach((chunk, i) => {
      applyWeights(states.subarray(i * length * width, (i + 1) * length * width), chunk.weights);
    });
    return { data: states, prompts: prompts.length, tokens: windows * length, width };
  }

  dispose(): Promise<void> {
    return this.#model.dispose();
  }

  async #run(chunks: readonly PromptChunk[], clipSkip: number): Promise<Float32Array> {
    const batch = chunks.length;
    const tokens = chunks[0].ids.length;
    const executable = await this.#model.at({ batch, tokens, clipSkip });
    const ids = new Int32Array(batch * tokens);
    chunks.forEach((chunk, i) => {
      ids.set(chunk.ids, i * tokens);
    });
    const { lastHiddenState } = await executable.run({
      inputIds: tensor('s32', [batch, tokens], ids),
    });
    return Float32Array.from(lastHiddenState.data);
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
