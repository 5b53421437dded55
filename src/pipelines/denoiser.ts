import { type Tensor, tensor } from '../core/tensor.ts';
import type { UNet2DConditionConfig } from '../models/unet-2d-condition-config.ts';
import { guide, repeatForGuidance } from './guidance.ts';
import type { LatentShape } from './latents.ts';
import type { Precision } from './request.ts';
import type { PromptEmbeddings } from './text-encoder.ts';
import type { UNet } from './unet.ts';
import type { UNetRun, UNetSize } from './unet-run.ts';

/** What decides the size of a run. */
export interface DenoiserSize {
  readonly shape: LatentShape;
  /** Length of the text. */
  readonly tokens: number;
  /** 1 or less: no guidance, and no negative prompt. */
  readonly guidanceScale: number;
}

/** A run to make the U-Net ready for. */
export interface DenoiserPlan extends DenoiserSize {
  /** Of each model evaluation. */
  readonly timesteps: readonly number[];
  /** One for each of `timesteps`. */
  readonly schedule: readonly Precision[];
}

/** What the U-Net answers to, besides the sample: fixed over a run. */
export interface Conditioning {
  /** With guidance, the negative prompt first. */
  readonly embeddings: PromptEmbeddings;
  /** Inpainting models: mask and masked latents, [batch, height, width, 5], beside the sample. */
  readonly extraChannels?: Float32Array;
}

/** The U-Net with classifier-free guidance: sample and step to model output. */
export class Denoiser {
  readonly config: UNet2DConditionConfig;
  readonly unet: UNet;

  constructor(config: UNet2DConditionConfig, unet: UNet) {
    this.config = config;
    this.unet = unet;
  }

  /**
   * Makes the U-Net ready for a run and releases it after `body`.
   *
   * @throws BookendError as `UNet.prepare` does
   */
  async use<T>(plan: DenoiserPlan, body: (run: DenoiserRun) => Promise<T>): Promise<T> {
    const { timesteps, schedule } = plan;
    const prompts = this.guides(plan.guidanceScale) ? 2 : 1;
    const size = this.unetSize(plan);
    const run = await this.unet.prepare({ size, prompts, timesteps, schedule });
    try {
      return await body(new DenoiserRun(this.config, plan, prompts > 1, run));
    } finally {
      run.release();
    }
  }

  /** Guidance runs the batch twice over. */
  unetSize({ shape, tokens, guidanceScale }: DenoiserSize): UNetSize {
    const { batch, height, width } = shape;
    return { batch: batch * (this.guides(guidanceScale) ? 2 : 1), height, width, tokens };
  }

  /** Whether a run at this scale needs the negative prompt as well. */
  guides(guidanceScale: number): boolean {
    return guidanceScale > 1 && this.config.timeConditionWidth === undefined;
  }

  dispose(): void {
    this.unet.dispose();
  }
}

/** A denoiser that is ready: first `condition`, then `predict` step by step. */
export class DenoiserRun {
  readonly #config: UNet2DConditionConfig;
  readonly #plan: DenoiserPlan;
  readonly #guided: boolean;
  readonly #run: UNetRun;
  #extraChannels: Float32Array | undefined;

  constructor(config: UNet2DConditionConfig, plan: DenoiserPlan, guided: boolean, run: UNetRun) {
    this.#config = config;
    this.#plan = plan;
    this.#guided = guided;
    this.#run = run;
  }

  /** Computes what all steps share: everything that follows from timesteps and text alone. */
  async condition(
    { embeddings, extraChannels }: Conditioning,
    signal?: AbortSignal,
  ): Promise<void> {
    const { prompts, tokens, width, data } = embeddings;
    const { timeConditionWidth } = this.#config;
    this.#extraChannels = extraChannels;
    await this.#run.condition(
      {
        encoderHiddenStates: tensor('f32', [prompts, tokens, width], data),
        ...(timeConditionWidth && {
          timestepCondition: guidanceScaleEmbedding(this.#plan.guidanceScale, timeConditionWidth),
        }),
      },
      signal,
    );
  }

  /**
   * The guided model output for `sample` (already scaled by the scheduler) at step `step`.
   *
   * @throws BookendError `non-finite` when the network answers NaN or infinity; `aborted`
   */
  async predict(sample: Float32Array, step: number, signal?: AbortSignal): Promise<Float32Array> {
    const { shape, guidanceScale } = this.#plan;
    const extra = this.#extraChannels;
    const widened = extra ? joinChannels(sample, extra, shape) : sample;
    const data = this.#guided ? repeatForGuidance(widened) : widened;
    const batch = this.#guided ? 2 * shape.batch : shape.batch;
    const input = tensor('f32', [batch, shape.height, shape.width, this.#config.inChannels], data);
    const output = await this.#run.predict(input, step, signal);
    return this.#guided ? guide(output, guidanceScale) : output;
  }
}

/**
 * Distilled models (Luo et al., "Latent Consistency Models", 2023, section 4.2) are told the scale
 * instead of running twice: sines and cosines of 1000 · (scale − 1), like a timestep.
 */
function guidanceScaleEmbedding(scale: number, width: number): Tensor {
  const half = width / 2;
  const row = Float32Array.from({ length: width }, (_, i) => {
    const angle = 1000 * (scale - 1) * Math.exp((-Math.log(10000) * (i % half)) / (half - 1));
    return i < half ? Math.sin(angle) : Math.cos(angle);
  });
  return tensor('f32', [1, width], row);
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
