import { createHash } from 'node:crypto';
import { throwIfAborted } from '../../core/errors.ts';
import { floats, tensor } from '../../core/tensor.ts';
import {
  type ClassifyingExtractor,
  countRows,
  type Description,
  type ExtractOptions,
  type FeatureExtractor,
} from '../../evaluation/feature-extractor.ts';
import {
  type InceptionResizing,
  inceptionPixels,
} from '../../evaluation/inception-preprocessing.ts';
import type { Image } from '../../io/image-data.ts';
import {
  buildInceptionV3,
  INCEPTION_FEATURES,
  INCEPTION_SIZE,
  type InceptionV3Config,
} from '../../models/inception-v3.ts';
import type { InferencePrecision } from '../../passes/index.ts';
import type { WeightSource } from '../../runtime/backend.ts';
import { nativeBackend } from '../../runtime/native/native-backend.ts';
import { CompiledModel } from '../compiled-model.ts';

export interface InceptionOptions {
  /** Default 'pytorch-fid'. */
  readonly resizing?: InceptionResizing;
  /** Default 'f32', in which published numbers are computed; 'bf16' is faster and differs a little. */
  readonly precision?: InferencePrecision;
  /** Images that run at once; default 8. Features do not depend on it. */
  readonly batch?: number;
  /** One per core by default. */
  readonly threads?: number;
}

/** An Inception-V3 whose batch normalization is folded, and where its weights came from. */
export interface InceptionNetwork {
  /** The extractor's name, resizing aside. */
  readonly name: string;
  readonly config: InceptionV3Config;
  readonly weights: WeightSource;
  /** What black is in the images it was trained on; white is 1. */
  readonly black: -1 | 0;
  /** Closes the files behind the weights. */
  close(): Promise<void>;
}

/** Inception-V3's last pooling layer as a FeatureExtractor. */
export class InceptionExtractor implements FeatureExtractor {
  readonly name: string;
  readonly dimensions = INCEPTION_FEATURES;
  readonly #network: InceptionNetwork;
  readonly #resizing: InceptionResizing;
  readonly #batch: number;
  readonly #model: CompiledModel<{ readonly batch: number }>;
  #identity: Promise<string> | undefined;

  constructor(network: InceptionNetwork, options: InceptionOptions = {}) {
    const { resizing = 'pytorch-fid', precision = 'f32', batch = 8, threads } = options;
    this.name = [
      network.name,
      ...(resizing === 'pytorch-fid' ? [] : [resizing]),
      ...(precision === 'f32' ? [] : [precision]),
    ].join('-');
    this.#network = network;
    this.#resizing = resizing;
    this.#batch = batch;
    this.#model = new CompiledModel(
      (size) => buildInceptionV3(network.config, size.batch),
      (graph) => nativeBackend.compile(graph, network.weights, { precision, threads }),
    );
  }

  identity(): Promise<string> {
    this.#identity ??= hashWeights(this.#network.weights);
    return this.#identity;
  }

  async extract(images: readonly Image[], options?: ExtractOptions): Promise<Float32Array> {
    const [features] = await this.outputs(images, { features: this.dimensions }, options);
    countRows(features, this.dimensions);
    return features;
  }

  async dispose(): Promise<void> {
    this.#model.dispose();
    await this.#network.close();
  }

  /** Rows of the network's outputs, given how long those of each are. */
  protected async outputs(
    images: readonly Image[],
    widths: Readonly<Record<string, number>>,
    { signal }: ExtractOptions = {},
  ): Promise<Float32Array[]> {
    const rows = Object.values(widths).map((width) => new Float32Array(images.length * width));
    for (let start = 0; start < images.length; start += this.#batch) {
      throwIfAborted(signal);
      const outputs = await this.#run(images.slice(start, start + this.#batch), signal);
      for (const [i, [name, width]] of Object.entries(widths).entries()) {
        rows[i].set(floats(outputs[name]), start * width);
      }
    }
    return rows;
  }

  #run(images: readonly Image[], signal: AbortSignal | undefined) {
    const { black } = this.#network;
    const shape = [images.length, INCEPTION_SIZE, INCEPTION_SIZE, 3];
    const pixels = new Float32Array(images.length * INCEPTION_SIZE ** 2 * 3);
    for (const [i, image] of images.entries()) {
      const values = inceptionPixels(image, this.#resizing);
      const scaled = black === 0 ? values.map((value) => (value + 1) / 2) : values;
      pixels.set(scaled, (i * pixels.length) / images.length);
    }
    const inputs = { image: tensor('f32', shape, pixels) };
    return this.#model.use({ batch: images.length }, (model) => model.run(inputs, { signal }));
  }
}

/** SHA-256 of all tensors, with their names, in hexadecimal. */
async function hashWeights(weights: WeightSource): Promise<string> {
  const hash = createHash('sha256');
  for (const name of [...weights.names()].sort()) {
    const { dtype, shape, data } = await weights.read(name);
    hash.update(JSON.stringify([name, dtype, shape]));
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest('hex');
}

/** An Inception-V3 that still has its classifier. */
export class InceptionClassifier extends InceptionExtractor implements ClassifyingExtractor {
  readonly classes: number;

  constructor(network: InceptionNetwork, classes: number, options?: InceptionOptions) {
    super({ ...network, config: { ...network.config, classes } }, options);
    this.classes = classes;
  }

  async describe(images: readonly Image[], options?: ExtractOptions): Promise<Description> {
    const widths = { features: this.dimensions, logits: this.classes };
    const [features, logits] = await this.outputs(images, widths, options);
    countRows(features, this.dimensions);
    return { features, logits };
  }
}
