import { readdirSync, readFileSync } from 'node:fs';
import { f32, type Tensor } from '../../../src/core/tensor.ts';
import type { Graph } from '../../../src/ir/graph.ts';
import {
  buildAutoencoderKLDecoder,
  buildAutoencoderKLEncoder,
} from '../../../src/models/autoencoder-kl.ts';
import { parseAutoencoderKLConfig } from '../../../src/models/autoencoder-kl-config.ts';
import { buildCLIPTextModel } from '../../../src/models/clip-text-model.ts';
import { parseCLIPTextConfig } from '../../../src/models/clip-text-model-config.ts';
import {
  autoencoderKLParameters,
  clipTextModelParameters,
  type ParameterShapes,
  unet2DConditionParameters,
  unet2DParameters,
} from '../../../src/models/parameters.ts';
import { hashedIds, hashedInput } from '../../../src/models/random-weights.ts';
import { buildUNet2DModel } from '../../../src/models/unet-2d.ts';
import { buildUNet2DConditionModel } from '../../../src/models/unet-2d-condition.ts';
import { parseUNet2DConditionConfig } from '../../../src/models/unet-2d-condition-config.ts';
import { parseUNet2DConfig } from '../../../src/models/unet-2d-config.ts';

/** What make.py wrote. */
export interface ModelFixture {
  readonly name: string;
  readonly model: 'unet-2d-condition' | 'unet-2d' | 'autoencoder-kl' | 'clip-text-model';
  readonly config: unknown;
  readonly saved_config: unknown;
  readonly size: { batch: number; height: number; width: number; tokens: number };
  readonly timesteps: readonly number[];
  readonly parameters: Readonly<Record<string, readonly number[]>>;
  readonly outputs: Readonly<Record<string, { shape: readonly number[]; data: string }>>;
}

/** A graph with inputs and the outputs that diffusers or transformers gave. */
export interface ModelCase {
  readonly name: string;
  readonly graph: Graph;
  readonly inputs: Readonly<Record<string, Tensor>>;
  readonly outputs: Readonly<Record<string, Tensor>>;
}

export function modelFixtures(): ModelFixture[] {
  return readFixtures(import.meta.dirname) as ModelFixture[];
}

/** The JSON files of a folder, with their names. */
export function readFixtures(folder: string): { readonly name: string }[] {
  const files = readdirSync(folder).filter((file) => file.endsWith('.json'));
  return files.map((file) => ({
    name: file.replace('.json', ''),
    ...JSON.parse(readFileSync(`${folder}/${file}`, 'utf8')),
  }));
}

const PARSERS = {
  'unet-2d-condition': parseUNet2DConditionConfig,
  'unet-2d': parseUNet2DConfig,
  'autoencoder-kl': parseAutoencoderKLConfig,
  'clip-text-model': parseCLIPTextConfig,
};

export function parseFixtureConfig(fixture: ModelFixture, json: unknown): unknown {
  return PARSERS[fixture.model](json);
}

/** Parameters of the whole model, as Bookend sees it. */
export function fixtureParameters({ model, config }: ModelFixture): ParameterShapes {
  switch (model) {
    case 'unet-2d-condition':
      return unet2DConditionParameters(parseUNet2DConditionConfig(config));
    case 'unet-2d':
      return unet2DParameters(parseUNet2DConfig(config));
    case 'autoencoder-kl':
      return autoencoderKLParameters(parseAutoencoderKLConfig(config));
    case 'clip-text-model':
      return clipTextModelParameters(parseCLIPTextConfig(config));
  }
}

/** What says which graph to build and what to feed it. */
export type ModelProblem = Pick<ModelFixture, 'name' | 'model' | 'config' | 'size' | 'timesteps'>;

/** The graphs of a model: one, or the encoder and the decoder. */
export function fixtureGraphs({ model, config, size }: ModelProblem): Graph[] {
  switch (model) {
    case 'unet-2d-condition':
      return [buildUNet2DConditionModel(parseUNet2DConditionConfig(config), size)];
    case 'unet-2d':
      return [buildUNet2DModel(parseUNet2DConfig(config), size)];
    case 'autoencoder-kl': {
      const vae = parseAutoencoderKLConfig(config);
      const [height, width] = [size.height * vae.downscale, size.width * vae.downscale];
      const encoder = buildAutoencoderKLEncoder(vae, { batch: size.batch, height, width });
      return [encoder, buildAutoencoderKLDecoder(vae, size)];
    }
    case 'clip-text-model':
      return [buildCLIPTextModel(parseCLIPTextConfig(config), size)];
  }
}

/** The inputs that make.py hashed or, for timesteps, wrote down. */
export function fixtureInputs(
  { model, config, timesteps }: ModelProblem,
  graph: Graph,
): Record<string, Tensor> {
  const inputs = Object.entries(graph.inputs).map(([key, { shape }]) => {
    if (key === 'timestep') return [key, f32(shape, timesteps)];
    if (model !== 'clip-text-model') return [key, hashedInput(key, shape)];
    return [key, hashedIds(key, shape, parseCLIPTextConfig(config).vocabSize)];
  });
  return Object.fromEntries(inputs);
}

export function fixtureCases(fixture: ModelFixture): ModelCase[] {
  const outputs = fixtureOutputs(fixture);
  const cases = fixtureGraphs(fixture).map((graph) => {
    const expected = Object.entries(outputs).filter(([key]) => key in graph.outputs);
    return modelCase(fixture, graph, Object.fromEntries(expected));
  });
  if (fixture.model !== 'clip-text-model') return cases;
  const config = parseCLIPTextConfig(fixture.config);
  const skipping = buildCLIPTextModel(config, { ...fixture.size, clipSkip: 1 });
  const penultimate = modelCase(fixture, skipping, { lastHiddenState: outputs.penultimate });
  return [...cases, { ...penultimate, name: `${penultimate.name}, clipSkip 1` }];
}

function modelCase(fixture: ModelFixture, graph: Graph, outputs: ModelCase['outputs']): ModelCase {
  const inputs = fixtureInputs(fixture, graph);
  return { name: `${fixture.name}, ${graph.name}`, graph, inputs, outputs };
}

function fixtureOutputs(fixture: ModelFixture): Record<string, Tensor> {
  const decoded = Object.entries(fixture.outputs).map(([key, { shape, data }]) => {
    const bytes = Uint8Array.from(Buffer.from(data, 'base64'));
    return [key, f32(shape, new Float32Array(bytes.buffer))];
  });
  return Object.fromEntries(decoded);
}

/** ‖actual - expected‖ / ‖expected‖. */
export function relativeL2(actual: Tensor, expected: Tensor): number {
  let error = 0;
  let norm = 0;
  for (const [i, value] of expected.data.entries()) {
    error += (actual.data[i] - value) ** 2;
    norm += value ** 2;
  }
  return Math.sqrt(error / norm);
}
