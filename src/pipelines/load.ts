import { BookendError } from '../core/errors.ts';
import type { WeightedComponent } from '../io/key-aliases.ts';
import type { Graph } from '../ir/graph.ts';
import { parseAutoencoderKLConfig } from '../models/autoencoder-kl-config.ts';
import { checkParameters } from '../models/check-parameters.ts';
import { parseCLIPTextConfig } from '../models/clip-text-model-config.ts';
import {
  autoencoderKLParameters,
  clipTextModelParameters,
  type ParameterShapes,
  unet2DConditionParameters,
  unet2DParameters,
} from '../models/parameters.ts';
import { buildUNet2DModel } from '../models/unet-2d.ts';
import { buildUNet2DConditionModel } from '../models/unet-2d-condition.ts';
import { parseUNet2DConditionConfig } from '../models/unet-2d-condition-config.ts';
import { parseUNet2DConfig } from '../models/unet-2d-config.ts';
import { usesInt8 } from '../quantization/precision-schedule.ts';
import type { PrecisionSensitivity } from '../quantization/sensitivity.ts';
import type { WeightSource } from '../runtime/backend.ts';
import { nativeBackend } from '../runtime/native/native-backend.ts';
import {
  latentSchedulerJson,
  type SchedulerJson,
  type SchedulerName,
  schedulerFromConfig,
} from '../schedulers/index.ts';
import type { Compile } from './compiled-model.ts';
import { bestPrecision } from './cpu-precision.ts';
import { Denoiser } from './denoiser.ts';
import { ImageAutoencoder } from './image-autoencoder.ts';
import { type ModelParts, openModelParts, type PartsOptions } from './model-parts.ts';
import { precisionSchedule } from './precision-plan.ts';
import { openQuantizedUNet, requireSameTimesteps } from './quantized-unet.ts';
import { type HighPrecision, inferencePrecision, type PrecisionOptions } from './request.ts';
import type { StableDiffusion } from './stable-diffusion.ts';
import { TextEncoder } from './text-encoder.ts';
import type { UnconditionalDiffusion } from './unconditional.ts';
import { UNet } from './unet.ts';
import type { UNetSize } from './unet-run.ts';
import { weightsOf } from './weights.ts';

/**
 * The precision is that of requests that do not say; `fp32` and `bf16` are also that of the text
 * encoder and the autoencoder, which otherwise take the high precision.
 */
export interface LoadOptions extends PartsOptions, PrecisionOptions {
  /** One per core by default, or what BOOKEND_THREADS says. */
  readonly threads?: number;
}

interface Loaded<Kind, Model> {
  readonly kind: Kind;
  readonly model: Model;
  readonly schedulerName: SchedulerName;
  dispose(): Promise<void>;
}

export type LoadedModel =
  | Loaded<'stable-diffusion', StableDiffusion>
  | Loaded<'unconditional', UnconditionalDiffusion>;

/**
 * Opens a model by path or hub id and checks that it is whole. Weights are read and packed when a
 * network first runs.
 *
 * @param unetWeights the U-Net's parameters, instead of those that the model has, if it has any
 * @throws BookendError as `openModelParts`, the configuration parsers and `checkParameters` do
 */
export async function loadModel(
  reference: string,
  options: LoadOptions = {},
  unetWeights?: WeightSource,
): Promise<LoadedModel> {
  const schedule = precisionSchedule(options);
  const parts = await openModelParts(reference, options);
  const loader = new Loader(parts, options, unetWeights);
  try {
    const loaded = await ((await isUnconditional(parts))
      ? loader.unconditional()
      : loader.stableDiffusion());
    if (usesInt8(schedule)) unetOf(loaded.model).requireInt8();
    const schedulerName = schedulerFromConfig(loaded.model.schedulerConfig).name;
    return { ...loaded, schedulerName, dispose: () => loaded.model.dispose() };
  } catch (error) {
    await parts.close();
    throw error;
  }
}

/** The network that denoises. */
export function unetOf(model: LoadedModel['model']): UNet {
  return 'denoiser' in model ? model.denoiser.unet : model.unet;
}

/** What tells one kind of U-Net from another. */
interface UNetDescription {
  readonly expected: ParameterShapes;
  readonly build: (size: UNetSize) => Graph;
  /** Any size that it can be built in. */
  readonly example: UNetSize;
  readonly schedulerConfig: SchedulerJson;
}

/** Builds the networks of one model. */
class Loader {
  readonly #parts: ModelParts;
  readonly #precision: HighPrecision;
  readonly #precisionOptions: PrecisionOptions;
  readonly #threads: number | undefined;
  readonly #unetWeights: WeightSource | undefined;

  constructor(parts: ModelParts, options: LoadOptions, unetWeights?: WeightSource) {
    const { precision } = options;
    this.#parts = parts;
    this.#precision = precision === 'fp32' || precision === 'bf16' ? precision : bestPrecision();
    this.#precisionOptions = options;
    this.#threads = options.threads;
    this.#unetWeights = unetWeights;
  }

  async stableDiffusion() {
    const parts = this.#parts;
    requireComponents(parts, ['unet', 'vae', 'text_encoder', 'tokenizer', 'scheduler']);
    const text = parseCLIPTextConfig(await parts.config('text_encoder'));
    const unet = parseUNet2DConditionConfig(await parts.config('unet'));
    const vae = parseAutoencoderKLConfig(await parts.config('vae'));
    const textParameters = clipTextModelParameters(text);
    const compileText = await this.#network('text_encoder', 'CLIPTextModel', textParameters);
    const unetParameters = unet2DConditionParameters(unet);
    const schedulerConfig = latentSchedulerJson(await parts.schedulerConfig());
    const { unet: network, sensitivity } = await this.#unet('UNet2DConditionModel', {
      expected: unetParameters,
      build: (size) => buildUNet2DConditionModel(unet, size),
      example: { batch: 2, ...(unet.sampleSize ?? { height: 64, width: 64 }), tokens: 77 },
      schedulerConfig,
    });
    const compileVae = await this.#network('vae', 'AutoencoderKL', autoencoderKLParameters(vae));
    const textEncoder = new TextEncoder(await parts.tokenizer(), text, compileText);
    const denoiser = new Denoiser(unet, network);
    const autoencoder = new ImageAutoencoder(vae, compileVae);
    requireFittingWidths(parts.origin, text.width, unet.crossAttentionWidth);
    const model: StableDiffusion = {
      origin: parts.origin,
      precision: this.#precision,
      precisionOptions: this.#precisionOptions,
      ...(sensitivity && { sensitivity }),
      textEncoder,
      denoiser,
      autoencoder,
      schedulerConfig,
      dispose: () => this.#dispose([textEncoder, denoiser, autoencoder]),
    };
    return { kind: 'stable-diffusion' as const, model };
  }

  async unconditional() {
    const parts = this.#parts;
    const config = parseUNet2DConfig(await parts.config('unet'));
    const schedulerConfig = await parts.schedulerConfig();
    const extent = 8 * 2 ** config.blockOutChannels.length;
    const { unet, sensitivity } = await this.#unet('UNet2DModel', {
      expected: unet2DParameters(config),
      build: (size) => buildUNet2DModel(config, size),
      example: { batch: 1, height: extent, width: extent, tokens: 0 },
      schedulerConfig,
    });
    const model: UnconditionalDiffusion = {
      origin: parts.origin,
      precisionOptions: this.#precisionOptions,
      ...(sensitivity && { sensitivity }),
      config,
      unet,
      schedulerConfig,
      dispose: () => this.#dispose([unet]),
    };
    return { kind: 'unconditional' as const, model };
  }

  /** Compiles for one precision. */
  async #network(
    component: WeightedComponent,
    model: string,
    expected: ParameterShapes,
  ): Promise<Compile> {
    const weights = await this.#weights(component, model, expected);
    const precision = inferencePrecision(this.#precision);
    return (graph) => nativeBackend.compile(graph, weights, { precision, threads: this.#threads });
  }

  /** With INT8 where `bookend quantize` has made it; all its precisions share one source. */
  async #unet(
    name: string,
    { expected, build, example, schedulerConfig }: UNetDescription,
  ): Promise<{ readonly unet: UNet; readonly sensitivity?: PrecisionSensitivity }> {
    const { origin } = this.#parts;
    const original = await this.#weights('unet', name, expected);
    const quantized = await openQuantizedUNet(this.#parts, build(example), original);
    if (quantized) {
      const { numTrainTimesteps } = schedulerFromConfig(schedulerConfig);
      requireSameTimesteps(quantized.model, numTrainTimesteps, origin);
    }
    const weights = quantized?.weights ?? original;
    const threads = this.#threads;
    // The graphs have been through their passes.
    const compile: Compile = (graph) =>
      nativeBackend.compile(graph, weights, { passes: [], threads });
    const unet = new UNet(build, compile, { origin, quantizer: quantized?.quantizer });
    return { unet, sensitivity: quantized?.model.sensitivity };
  }

  /** A component's weights, checked. */
  async #weights(
    component: WeightedComponent,
    model: string,
    expected: ParameterShapes,
  ): Promise<WeightSource> {
    if (component === 'unet' && this.#unetWeights) return this.#unetWeights;
    const source = await this.#parts.weights(component);
    const weights = weightsOf(source);
    checkParameters(expected, weights, { origin: source.origin, model });
    return weights;
  }

  async #dispose(networks: readonly { dispose(): void }[]): Promise<void> {
    for (const network of networks) network.dispose();
    await this.#parts.close();
  }
}

/** Its U-Net tells; what else there is must then be what its kind needs. */
async function isUnconditional(parts: ModelParts): Promise<boolean> {
  requireComponents(parts, ['unet', 'scheduler']);
  const { _class_name: unet } = (await parts.config('unet')) as { readonly _class_name?: unknown };
  if (unet !== 'UNet2DModel') return false;
  const decoder = ['vae', 'vqvae'].find((component) => parts.has(component));
  if (decoder === undefined) return true;
  throw new BookendError(
    'unsupported',
    `${parts.origin} draws latents without a prompt, for its ${decoder} to decode; Bookend runs unconditional models that draw pixels.`,
  );
}

function requireComponents(parts: ModelParts, components: readonly string[]): void {
  const missing = components.filter((component) => !parts.has(component));
  if (missing.length === 0 && !parts.has('text_encoder_2')) return;
  throw new BookendError(
    'unsupported',
    missing.length > 0
      ? `${parts.origin} has no ${missing.join(', no ')}; Bookend runs Stable Diffusion 1.x and 2.x (unet, vae, text_encoder, tokenizer, scheduler) and unconditional U-Nets (unet, scheduler).`
      : `${parts.origin} has a second text encoder, as Stable Diffusion XL does; Bookend runs 1.x and 2.x, so choose one of those.`,
  );
}

function requireFittingWidths(
  origin: string,
  textWidth: number,
  crossAttentionWidth: number,
): void {
  if (textWidth === crossAttentionWidth) return;
  throw new BookendError(
    'invalid-checkpoint',
    `The text encoder of ${origin} gives ${textWidth} features and its U-Net reads ${crossAttentionWidth}; combine parts of one model.`,
  );
}
