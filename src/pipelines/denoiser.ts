import { BookendError } from '../core/errors.ts';
import { tensor } from '../core/tensor.ts';
import {
  buildUNet2DConditionModel,
  type UNet2DConditionSize,
} from '../models/unet-2d-condition.ts';
import type { UNet2DConditionConfig } from '../models/unet-2d-condition-config.ts';
import { type Compile, CompiledModel } from './compiled-model.ts';
import { guide, repeatForGuidance } from './guidance.ts';
import type { LatentShape } from './latents.ts';
import type { PromptEmbeddings } from './text-encoder.ts';

/** What the U-Net answers to, besides the sample: fixed over a run. */
export interface Conditioning {
  /** With guidance, the negative prompts first. */
  readonly embeddings: PromptEmbeddings;
  /** 1 or less: no guidance, the embeddings hold the prompts alone. */
  readonly guidanceScale: number;
  /** Inpainting models: mask and masked latents, [batch, height, width, 5], beside the sample. */
  readonly extraChannels?: Float32Array;
}

/** What decides the size of the U-Net's graph, besides the latents. */
export interface ConditioningSize {
  readonly tokens: number;
  readonly guidanceScale: number;
}

/** The U-Net with classifier-free guidance: sample and timestep to model output. */
export class Denoiser {
  readonly config: UNet2DConditionConfig;
  readonly #model: CompiledModel<UNet2DConditionSize>;

  constructor(config: UNet2DConditionConfig, compile: Compile) {
    this.config = config;
    this.#model = new CompiledModel((size) => buildUNet2DConditionModel(config, size), compile);
  }

  /**
   * Compiles for this size ahead of the run, so that what does not fit in memory is refused before
   * anything is computed and steps are timed alone.
   */
  async prepare(shape: LatentShape, conditioning: ConditioningSize): Promise<void> {
    (await this.#model.lease(this.#size(shape, conditioning))).release();
  }

  /**
   * The guided model output for `sample` (already scaled by the scheduler).
   *
   * @throws BookendError `non-finite` when the network answers NaN or infinity; `aborted`
   */
  async predict(
    sample: Float32Array,
    shape: LatentShape,
    timestep: number,
    conditioning: Conditioning,
    signal?: AbortSignal,
  ): Promise<Float32Array> {
    const { embeddings, guidanceScale, extraChannels } = conditioning;
    const { tokens, width } = embeddings;
    const size = this.#size(shape, { guidanceScale, tokens });
    const guided = this.guides(guidanceScale);
    const widened = extraChannels ? joinChannels(sample, extraChannels, shape) : sample;
    const batch = guided ? repeatForGuidance(widened) : widened;
    const { inChannels, timeConditionWidth } = this.config;
    const inputs = {
      sample: tensor('f32', [size.batch, shape.height, shape.width, inChannels], batch),
      timestep: tensor('f32', [size.batch], new Float32Array(size.batch).fill(timestep)),
      encoderHiddenStates: tensor('f32', [size.batch, tokens, width], embeddings.data),
      ...(timeConditionWidth && {
        timestepCondition: tensor(
          'f32',
          [size.batch, timeConditionWidth],
          guidanceScaleEmbedding(guidanceScale, timeConditionWidth, size.batch),
        ),
      }),
    };
    const outputs = await this.#model.use(size, (unet) => unet.run(inputs, { signal }));
    const output = requireFinite(outputs.sample.data as Float32Array, timestep);
    return guided ? guide(output, guidanceScale) : output;
  }

  /** Whether a run at this scale needs the negative prompts as well. */
  guides(guidanceScale: number): boolean {
    return guidanceScale > 1 && this.config.timeConditionWidth === undefined;
  }

  dispose(): void {
    this.#model.dispose();
  }

  #size(
    { batch, height, width }: LatentShape,
    { guidanceScale, tokens }: ConditioningSize,
  ): UNet2DConditionSize {
    const copies = this.guides(guidanceScale) ? 2 : 1;
    return { batch: batch * copies, height, width, tokens };
  }
}

/**
 * Distilled models (Luo et al., "Latent Consistency Models", 2023, section 4.2) are told the scale
 * instead of running twice: sines and cosines of 1000 · (scale − 1), like a timestep.
 */
function guidanceScaleEmbedding(scale: number, width: number, batch: number): Float32Array {
  const half = width / 2;
  const row = Float32Array.from({ length: width }, (_, i) => {
    const angle = 1000 * (scale - 1) * Math.exp((-Math.log(10000) * (i % half)) / (half - 1));
    return i < half ? Math.sin(angle) : Math.cos(angle);
  });
  return Float32Array.from({ length: width * batch }, (_, i) => row[i % width]);
}

/** [sample, extra] on channels, pixel by pixel. */
function joinChannels(sample: Float32Array, extra: Float32Array, shape: LatentShape): Float32Array {
  const pixels = shape.batch * shape.height * shape.width;
  const own = shape.channels;
  const others = extra.length / pixels;
  const out = new Float32Array(sample.length + extra.length);
  for (let pixel = 0; pixel < pixels; pixel++) {
    const target = pixel * (own + others);
    out.set(sample.subarray(pixel * own, (pixel + 1) * own), target);
    out.set(extra.subarray(pixel * others, (pixel + 1) * others), target + own);
  }
  return out;
}

/** The output itself. @throws BookendError `non-finite` */
export function requireFinite(output: Float32Array, timestep: number): Float32Array {
  const found = output.find((value) => !Number.isFinite(value));
  if (found === undefined) return output;
  throw new BookendError(
    'non-finite',
    `The U-Net answered ${found} at timestep ${timestep} where a finite number was expected; look for damaged weights with \`bookend inspect --values\`, or compute in fp32.`,
  );
}
