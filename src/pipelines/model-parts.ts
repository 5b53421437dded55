import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { BookendError } from '../core/errors.ts';
import { openCheckpoint } from '../io/checkpoint.ts';
import { ClipTokenizer, loadClipTokenizer } from '../io/clip-tokenizer.ts';
import { resolveModel } from '../io/hub.ts';
import { asIoError } from '../io/io-error.ts';
import { type JsonObject, readJsonObject, readText } from '../io/json-file.ts';
import type { WeightedComponent } from '../io/key-aliases.ts';
import { openModelFolder } from '../io/model-folder.ts';
import { openSingleFile, type SingleFilePrediction } from '../io/single-file.ts';
import type { TensorSource } from '../io/tensor-source.ts';
import { readTokenizerFiles } from '../io/tokenizer-files.ts';
import { QUANTIZATION_JSON, QUANTIZED_TENSORS } from '../quantization/quantized-model.ts';
import { parseSchedulerJson, type SchedulerJson } from '../schedulers/index.ts';

export interface PartsOptions {
  /** Weights such as `fp16` in `model.fp16.safetensors`. */
  readonly variant?: string;
  /** Folder with CLIP's vocabulary, for single files, which carry none. */
  readonly tokenizer?: string;
  /** What the U-Net of a single file predicts, where the file does not say. */
  readonly predictionType?: SingleFilePrediction;
  /** Fetch a hub id that is not in the cache; without it there is no network access at all. */
  readonly download?: boolean;
}

/** A model's parts in whichever layout they lie: configurations as JSON, weights by component. */
export interface ModelParts {
  readonly origin: string;
  has(component: string): boolean;
  config(component: WeightedComponent): Promise<unknown>;
  schedulerConfig(): Promise<SchedulerJson>;
  weights(component: WeightedComponent): Promise<TensorSource>;
  tokenizer(): Promise<ClipTokenizer>;
  /** What `bookend quantize` added to the U-Net; undefined where it did not. */
  quantization(): Promise<QuantizationFiles | undefined>;
  /** Closes the files of all weights that were opened; their tensors cannot be read any more. */
  close(): Promise<void>;
}

/** The two files that make a U-Net a quantized one, not yet checked against each other. */
export interface QuantizationFiles {
  readonly json: JsonObject;
  readonly tensors: TensorSource;
  /** Paths, for messages. */
  readonly jsonPath: string;
  readonly tensorsPath: string;
}

/** Name of a single-file checkpoint inside the folder that quantizing it makes. */
export const SINGLE_FILE = 'model.safetensors';

/**
 * Opens a model by path (folder or single file) or hub id.
 *
 * @throws BookendError `not-found`, `io`, `invalid-checkpoint`, `missing-tensor` or `unsupported`
 */
export async function openModelParts(
  reference: string,
  options: PartsOptions = {},
): Promise<ModelParts> {
  const { kind, path } = await resolveModel(reference, options);
  if (kind === 'file') return fileParts(path, options);
  if (await isQuantizedSingleFile(path)) {
    const tokenizer = options.tokenizer ?? join(path, 'tokenizer');
    return fileParts(join(path, SINGLE_FILE), { ...options, tokenizer }, join(path, 'unet'));
  }
  return folderParts(path, options);
}

/** Whether `path` is what quantizing a single file made: a folder with the file in it. */
export async function isQuantizedSingleFile(path: string): Promise<boolean> {
  const there = (name: string) => exists(join(path, name));
  if (await there('model_index.json')) return false;
  return (await there(SINGLE_FILE)) && (await there(`unet/${QUANTIZATION_JSON}`));
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

/** The files of a quantized U-Net in `folder`, which is undefined where there can be none. */
async function openQuantization(
  folder: string | undefined,
  opened: TensorSource[],
): Promise<QuantizationFiles | undefined> {
  if (folder === undefined) return undefined;
  const jsonPath = join(folder, QUANTIZATION_JSON);
  if (!(await exists(jsonPath))) return undefined;
  const json = await readJsonObject(jsonPath);
  const tensorsPath = join(folder, QUANTIZED_TENSORS);
  const tensors = await openCheckpoint(tensorsPath);
  opened.push(tensors);
  return { json, tensors, jsonPath, tensorsPath };
}

// Read as text: Python writes -Infinity into it, which is no JSON.
const SCHEDULER_CONFIG = 'scheduler_config.json';

async function folderParts(path: string, options: PartsOptions): Promise<ModelParts> {
  const { variant, tokenizer, predictionType } = options;
  refuseOption(path, 'a model folder', { tokenizer, predictionType });
  const folder = await openModelFolder(path);
  const opened: TensorSource[] = [];
  return {
    origin: path,
    has: (component) => folder.components.has(component),
    config: (component) => folder.readConfig(component),
    schedulerConfig: async () => {
      const text = await readText(join(folder.componentPath('scheduler'), SCHEDULER_CONFIG));
      return parseSchedulerJson(text);
    },
    weights: async (component) => {
      const source = await folder.openWeights(component, { variant });
      opened.push(source);
      return source;
    },
    tokenizer: async () => loadClipTokenizer(folder.componentPath('tokenizer')),
    quantization: () => openQuantization(folder.componentPath('unet'), opened),
    close: async () => {
      await Promise.all(opened.map((source) => source.close()));
    },
  };
}

/** An option that this layout has no use for is a mistake to tell, not to pass over. */
function refuseOption(path: string, layout: string, options: Record<string, unknown>): void {
  const given = Object.keys(options).find((name) => options[name] !== undefined);
  if (given === undefined) return;
  throw new BookendError(
    'invalid-argument',
    `${path} is ${layout}, for which the option ${given} means nothing; leave it out.`,
  );
}

const FILE_PARTS = new Set(['unet', 'vae', 'text_encoder', 'tokenizer', 'scheduler']);

async function fileParts(
  path: string,
  options: PartsOptions,
  quantizedFolder?: string,
): Promise<ModelParts> {
  refuseOption(path, 'a single file', { variant: options.variant });
  const file = await openSingleFile(path, options);
  const opened: TensorSource[] = [];
  return {
    origin: path,
    has: (component) => FILE_PARTS.has(component),
    config: async (component) => file.configs[component],
    schedulerConfig: async () => file.configs.scheduler,
    weights: async (component) => file.sources[component],
    tokenizer: async () => {
      const files = await readTokenizerFiles(await tokenizerFolder(path, options));
      // OpenCLIP, the text encoder of 2.x, pads with id 0, which is "!" in CLIP's vocabulary.
      return new ClipTokenizer(file.family === 'sd-2' ? { ...files, padToken: '!' } : files);
    },
    quantization: () => openQuantization(quantizedFolder, opened),
    close: async () => {
      await Promise.all([file, ...opened].map((source) => source.close()));
    },
  };
}

/** Repositories with CLIP's vocabulary that a user of Stable Diffusion may well have cached. */
const VOCABULARIES = [
  ['openai/clip-vit-large-patch14', ''],
  ['stable-diffusion-v1-5/stable-diffusion-v1-5', 'tokenizer'],
  ['runwayml/stable-diffusion-v1-5', 'tokenizer'],
  ['CompVis/stable-diffusion-v1-4', 'tokenizer'],
] as const;

/** Where CLIP's vocabulary for a single file is. @throws BookendError `not-found` */
export async function tokenizerFolder(file: string, { tokenizer }: PartsOptions): Promise<string> {
  if (tokenizer !== undefined) return tokenizer;
  for (const [id, subfolder] of VOCABULARIES) {
    const folder = await cachedFolder(id, subfolder);
    if (folder !== undefined) return folder;
  }
  throw new BookendError(
    'not-found',
    `${file} carries no tokenizer and none is in the hub cache; name a folder with CLIP's vocab.json and merges.txt as the tokenizer.`,
  );
}

async function cachedFolder(id: string, subfolder: string): Promise<string | undefined> {
  try {
    const { path } = await resolveModel(id);
    const folder = subfolder === '' ? path : `${path}/${subfolder}`;
    const files = await readdir(folder).catch((error) => {
      throw asIoError('read', folder, error);
    });
    return files.includes('vocab.json') ? folder : undefined;
  } catch (error) {
    if (error instanceof BookendError && error.code === 'not-found') return undefined;
    throw error;
  }
}
