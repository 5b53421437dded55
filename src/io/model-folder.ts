import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { BookendError } from '../core/errors.ts';
import { type CheckpointOptions, isFolder, openCheckpoint } from './checkpoint.ts';
import { asIoError } from './io-error.ts';
import { type JsonObject, readJsonObject } from './json-file.ts';
import { type WeightedComponent, withCanonicalKeys } from './key-aliases.ts';
import { sourceOfViews, type TensorSource } from './tensor-source.ts';

/** What `model_index.json` says of one component: where its class is from, and which it is. */
export interface ComponentClass {
  readonly library: string;
  readonly className: string;
}

/** A model in the layout of diffusers: `model_index.json` and a folder per component. */
export interface ModelFolder {
  readonly path: string;
  /** `StableDiffusionPipeline`, `DDPMPipeline`, … */
  readonly pipelineClass: string;
  /** Components that the model has; those declared null are left out. */
  readonly components: ReadonlyMap<string, ComponentClass>;
  /** The fields of `model_index.json` that are not components. */
  readonly settings: JsonObject;
  /** @throws BookendError `not-found` for a component that the model lacks */
  componentPath(component: string): string;
  /** The component's configuration as it stands; models and schedulers check its fields. */
  readConfig(component: string): Promise<JsonObject>;
  /** The component's weights under canonical keys (see `key-aliases.ts`). */
  openWeights(component: WeightedComponent, options?: CheckpointOptions): Promise<TensorSource>;
}

const INDEX = 'model_index.json';

/**
 * Reads the index of a model folder.
 *
 * @throws BookendError `not-found`, `io` or `invalid-checkpoint`
 */
export async function openModelFolder(path: string): Promise<ModelFolder> {
  await requireIndex(path);
  const index = await readJsonObject(join(path, INDEX));
  const components = new Map<string, ComponentClass>();
  const settings: JsonObject = {};
  for (const [name, value] of Object.entries(index)) {
    if (!isPair(value)) settings[name] = value;
    else if (value[0] !== null && value[1] !== null) {
      components.set(checkName(name, path), { library: value[0], className: value[1] });
    }
  }
  const pipelineClass = index._class_name;
  if (typeof pipelineClass !== 'string') {
    throw new BookendError(
      'invalid-checkpoint',
      `${join(path, INDEX)} does not name a pipeline in _class_name; fetch or export the model again.`,
    );
  }
  const componentPath = (component: string) => {
    if (components.has(component)) return join(path, component);
    throw new BookendError(
      'not-found',
      `${path} has no component ${component} but ${[...components.keys()].join(', ') || 'none'}; choose a model that has it.`,
    );
  };
  return {
    path,
    pipelineClass,
    components,
    settings,
    componentPath,
    readConfig: (component) =>
      readJsonObject(join(componentPath(component), configName(component))),
    openWeights: async (component, options) =>
      canonical(component, await openCheckpoint(componentPath(component), options)),
  };
}

/** The same source under canonical keys; closing it closes the original. */
export function canonical(component: WeightedComponent, source: TensorSource): TensorSource {
  const renamed = sourceOfViews(source.origin, withCanonicalKeys(component, source.views), []);
  return { ...renamed, metadata: source.metadata, close: () => source.close() };
}

async function requireIndex(path: string): Promise<void> {
  if (!(await isFolder(path))) {
    throw new BookendError(
      'invalid-argument',
      `${path} is a file, not a model folder; pass the folder that holds ${INDEX}.`,
    );
  }
  const present = await readdir(path).catch((error) => {
    throw asIoError('read', path, error);
  });
  if (!present.includes(INDEX)) {
    const found = present.slice(0, 10).join(', ') || 'nothing';
    throw new BookendError(
      'not-found',
      `${path} has no ${INDEX} but ${found}; pass a model folder in the layout of diffusers or a single .safetensors file.`,
    );
  }
}

function configName(component: string): string {
  if (component === 'scheduler') return 'scheduler_config.json';
  return component === 'tokenizer' ? 'tokenizer_config.json' : 'config.json';
}

function isPair(value: unknown): value is [string, string] | [null, null] {
  const part = (item: unknown) => item === null || typeof item === 'string';
  return Array.isArray(value) && value.length === 2 && value.every(part);
}

/** Names become parts of paths. */
function checkName(name: string, path: string): string {
  if (/^[A-Za-z0-9]\w*$/.test(name)) return name;
  throw new BookendError(
    'invalid-checkpoint',
    `${join(path, INDEX)} names a component ${JSON.stringify(name.slice(0, 80))}, which is not a plain name; use a model from a source you trust.`,
  );
}
