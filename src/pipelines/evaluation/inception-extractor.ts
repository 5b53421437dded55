import { throwIfAborted } from '../../core/errors.ts';
import { floats, tensor } from '../../core/tensor.ts';
import {
  type ClassifyingExtractor,
  countRows,
  type Description,
  type ExtractOptions,
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
  readonly config: InceptionV3Config & { readonly classes: number };
  readonly weights: WeightSource;
  /** Closes the files behind the weights. */
  close(): Promise<void>;
}

/** Inception-V3's last pooling layer as a FeatureExtractor. */
export class InceptionExtractor implements ClassifyingExtractor {
  readonly name: string;
  readonly dimensions = INCEPTION_FEATURES;
  readonly classes: number;
  readonly #network: InceptionNetwork;
  readonly #resizing: InceptionResizing;
  readonly #batch: number;
  readonly #model: CompiledModel<{ readonly batch: number }>;

  constructor(network: InceptionNetwork, options: InceptionOptions = {}) {
    const { resizing = 'pytorch-fid', precision = 'f32', batch = 8, threads } = options;
    this.name = [
      network.name,
      ...(resizing === 'pytorch-fid' ? [] : [resizing]),
      ...(precision === 'f32' ? [] : [precision]),
    ].join('-');
    this.classes = network.config.classes;
    this.#network = network;
    this.#resizing = resizing;
    this.#batch = batch;
    this.#model = new CompiledModel(
      (size) => buildInceptionV3(network.config, size.batch),
      (graph) => nativeBackend.compile(graph, network.weights, { precision, threads }),
    );
  }

  async extract(images: readonly Image[], options?: ExtractOptions): Promise<Float32Array> {
    return (await this.describe(images, options)).features;
  }

  async describe(images: readonly Image[], { signal }: ExtractOptions = {}): Promise<Description> {
    const features = new Float32Array(images.length * this.dimensions);
    const logits = new Float32Array(images.length * this.classes);
    for (let start = 0; start < images.length; start += this.#batch) {
      throwIfAborted(signal);
      const outputs = await this.#run(images.slice(start, start + this.#batch), signal);
      features.set(floats(outputs.features), start * this.dimensions);
      logits.set(floats(outputs.logits), start * this.classes);
    }
    countRows(features, this.dimensions);
    return { features, logits };
  }

  async dispose(): Promise<void> {
    this.#model.dispose();
    await this.#network.close();
  }

  #run(images: readonly Image[], signal: AbortSignal | undefined) {
    const shape = [images.length, INCEPTION_SIZE, INCEPTION_SIZE, 3];
    const pixels = new Float32Array(images.length * INCEPTION_SIZE ** 2 * 3);
    for (const [i, image] of images.entries()) {
      pixels.set(inceptionPixels(image, this.#resizing), (i * pixels.length) / images.length);
    }
    const inputs = { image: tensor('f32', shape, pixels) };
    return this.#model.use({ batch: images.length }, (model) => model.run(inputs, { signal }));
  }
}
