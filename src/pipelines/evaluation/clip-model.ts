import { join } from 'node:path';
import { BookendError, throwIfAborted } from '../../core/errors.ts';
import { floats, tensor } from '../../core/tensor.ts';
import {
  type ClipPreprocessing,
  clipPixels,
  parseClipPreprocessing,
} from '../../evaluation/clip-preprocessing.ts';
import { clipScores, type Embeddings, unitEmbeddings } from '../../evaluation/clip-score.ts';
import { openCheckpoint } from '../../io/checkpoint.ts';
import { type ClipTokenizer, loadClipTokenizer } from '../../io/clip-tokenizer.ts';
import { resolveModel } from '../../io/hub.ts';
import type { Image } from '../../io/image-data.ts';
import { readJsonObject } from '../../io/json-file.ts';
import type { TensorSource } from '../../io/tensor-source.ts';
import { checkParameters } from '../../models/check-parameters.ts';
import { type CLIPModelConfig, parseCLIPModelConfig } from '../../models/clip-model-config.ts';
import { buildCLIPTextModelWithProjection } from '../../models/clip-text-model.ts';
import { buildCLIPVisionModelWithProjection } from '../../models/clip-vision-model.ts';
import { clipModelParameters } from '../../models/parameters.ts';
import { nativeBackend } from '../../runtime/native/native-backend.ts';
import { type Compile, CompiledModel } from '../compiled-model.ts';
import { weightsOf } from '../weights.ts';

export interface ClipModelOptions {
  /** Weights such as `fp16` in `model.fp16.safetensors`. */
  readonly variant?: string;
  /** Fetch a hub id that is not in the cache; without it there is no network access at all. */
  readonly download?: boolean;
  /** One per core by default. */
  readonly threads?: number;
}

/** As many images or texts run at once, whose memory is small beside that of the weights. */
const BATCH = 8;

interface Loaded {
  readonly origin: string;
  readonly config: CLIPModelConfig;
  readonly preprocessing: ClipPreprocessing;
  readonly tokenizer: ClipTokenizer;
  readonly source: TensorSource;
  /** Cosines times this are the logits. */
  readonly logitFactor: number;
  readonly compile: Compile;
}

/** CLIP (arXiv 2103.00020) as a judge of images: it computes in FP32, as the scores of papers do. */
export class ClipModel {
  readonly origin: string;
  /** transformers' logits are cosines times this. */
  readonly logitFactor: number;
  readonly #loaded: Loaded;
  readonly #images: CompiledModel<{ readonly batch: number }>;
  readonly #texts: CompiledModel<{ readonly batch: number; readonly tokens: number }>;

  constructor(loaded: Loaded) {
    const { config, compile } = loaded;
    this.origin = loaded.origin;
    this.logitFactor = loaded.logitFactor;
    this.#loaded = loaded;
    this.#images = new CompiledModel(
      (size) => buildCLIPVisionModelWithProjection(config.vision, config.projectionDim, size),
      compile,
    );
    this.#texts = new CompiledModel(
      (size) => buildCLIPTextModelWithProjection(config.text, config.projectionDim, size),
      compile,
    );
  }

  /** Of RGB images of any size. @throws BookendError `invalid-argument`, `aborted` */
  embedImages(images: readonly Image[], signal?: AbortSignal): Promise<Embeddings> {
    const { config, preprocessing } = this.#loaded;
    const { imageSize } = config.vision;
    return this.#inBatches(images, signal, async (batch) => {
      const shape = [batch.length, imageSize, imageSize, 3];
      const values = batch.map((image) => clipPixels(image, preprocessing));
      const pixelValues = tensor('f32', shape, joined(values));
      const { imageEmbeds } = await this.#images.use({ batch: batch.length }, (model) =>
        model.run({ pixelValues }, { signal }),
      );
      return floats(imageEmbeds);
    });
  }

  /** What of a text does not fit the model's window is cut off. @throws BookendError `aborted` */
  embedTexts(texts: readonly string[], signal?: AbortSignal): Promise<Embeddings> {
    const { tokenizer } = this.#loaded;
    const tokens = tokenizer.maxLength;
    return this.#inBatches(texts, signal, async (batch) => {
      const windows = batch.map((text) => tokenizer.encodePadded(text));
      const rows = windows.map((ids, i) => i * tokens + this.#pooledToken(ids));
      const ids = Int32Array.from(windows.flatMap((window) => [...window]));
      const inputs = {
        inputIds: tensor('s32', [batch.length, tokens], ids),
        pooledRows: tensor('s32', [batch.length], Int32Array.from(rows)),
      };
      const { textEmbeds } = await this.#texts.use({ batch: batch.length, tokens }, (model) =>
        model.run(inputs, { signal }),
      );
      return floats(textEmbeds);
    });
  }

  /** How well each image shows its text; see `clipScores`. */
  async score(
    images: readonly Image[],
    texts: readonly string[],
    signal?: AbortSignal,
  ): Promise<number[]> {
    return clipScores(await this.embedImages(images, signal), await this.embedTexts(texts, signal));
  }

  async dispose(): Promise<void> {
    this.#images.dispose();
    this.#texts.dispose();
    await this.#loaded.source.close();
  }

  /** The end of the text: where it was trained, the token of the largest number. */
  #pooledToken(ids: Int32Array): number {
    return ids.indexOf(this.#loaded.config.eosTokenId ?? Math.max(...ids));
  }

  async #inBatches<T>(
    items: readonly T[],
    signal: AbortSignal | undefined,
    embed: (batch: readonly T[]) => Promise<Float32Array>,
  ): Promise<Embeddings> {
    const parts: Float32Array[] = [];
    for (let start = 0; start < items.length; start += BATCH) {
      throwIfAborted(signal);
      parts.push(await embed(items.slice(start, start + BATCH)));
    }
    return unitEmbeddings(joined(parts), this.#loaded.config.projectionDim);
  }
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const out = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/**
 * Opens a CLIPModel as transformers saves it: a folder with config.json, model.safetensors,
 * preprocessor_config.json and the tokenizer's files, or the hub id of one in the cache.
 *
 * @throws BookendError `not-found`, `io`, `invalid-checkpoint`, `missing-tensor` or `unsupported`
 */
export async function loadClipModel(
  reference: string,
  { variant, download, threads }: ClipModelOptions = {},
): Promise<ClipModel> {
  const { kind, path } = await resolveModel(reference, { download, variant, holds: 'model' });
  if (kind === 'file') {
    throw new BookendError(
      'invalid-argument',
      `${reference} is a file; name the folder of a CLIP model, with config.json, weights and tokenizer.`,
    );
  }
  const config = parseCLIPModelConfig(await readJsonObject(join(path, 'config.json')));
  const preprocessing = parseClipPreprocessing(
    await readJsonObject(join(path, 'preprocessor_config.json')),
  );
  const tokenizer = await loadClipTokenizer(path);
  requireFitting(reference, config, preprocessing, tokenizer);
  const source = await openCheckpoint(path, { variant });
  try {
    const weights = weightsOf(source);
    checkParameters(clipModelParameters(config), weights, {
      origin: source.origin,
      model: 'CLIPModel',
    });
    const [logitScale] = floats(await weights.read('logit_scale'));
    return new ClipModel({
      ...{ origin: reference, config, preprocessing, tokenizer, source },
      logitFactor: Math.exp(logitScale),
      compile: (graph) => nativeBackend.compile(graph, weights, { precision: 'f32', threads }),
    });
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** Parts of different models would run and mean nothing. */
function requireFitting(
  origin: string,
  { text, vision, eosTokenId }: CLIPModelConfig,
  { crop }: ClipPreprocessing,
  tokenizer: ClipTokenizer,
): void {
  const { imageSize } = vision;
  const problems = [
    [
      crop.width !== imageSize || crop.height !== imageSize,
      `reads images of ${imageSize} × ${imageSize} pixels and its preprocessor_config.json makes ${crop.width} × ${crop.height}`,
    ],
    [
      tokenizer.vocabularySize > text.vocabSize,
      `knows ${text.vocabSize} tokens and its tokenizer has ${tokenizer.vocabularySize}`,
    ],
    [
      tokenizer.maxLength > text.maxTokens,
      `reads ${text.maxTokens} tokens and its tokenizer makes ${tokenizer.maxLength}`,
    ],
    [
      eosTokenId !== undefined && eosTokenId !== tokenizer.eosId,
      `ends texts with token ${eosTokenId} and its tokenizer with ${tokenizer.eosId}`,
    ],
  ] as const;
  const found = problems.find(([holds]) => holds);
  if (!found) return;
  throw new BookendError(
    'invalid-checkpoint',
    `The model ${origin} ${found[1]}; put the files of one model together.`,
  );
}
