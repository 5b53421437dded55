import { tensor } from '../core/tensor.ts';
import type { SchedulerJson } from '../schedulers/index.ts';
import type { LatentShape } from './latents.ts';
import type { LoadedModel } from './load.ts';
import type { Precision } from './request.ts';
import { latentShape, requirePlainModel, type StableDiffusion } from './stable-diffusion.ts';
import { trainedSize, type UnconditionalDiffusion } from './unconditional.ts';

/** A run's evaluations, by index into these. */
export interface SubjectPlan {
  readonly timesteps: readonly number[];
  readonly schedule: readonly Precision[];
}

/** The guided model output for `sample`, which the scheduler has scaled. */
export type Predict = (sample: Float32Array, step: number) => Promise<Float32Array>;

/** A model whose steps can each run in any precision. */
export interface Subject {
  readonly shape: LatentShape;
  /** 1: no guidance. */
  readonly guidanceScale: number;
  readonly width: number;
  readonly height: number;
  readonly schedulerConfig: SchedulerJson;
  /** Makes the network ready for `plan` and, if it reads text, for `prompt`. */
  use<T>(plan: SubjectPlan, prompt: string, body: (predict: Predict) => Promise<T>): Promise<T>;
  /** What an image takes besides: the text encoder and the decoder, for their time alone. */
  surround(prompt: string): Promise<void>;
  /** −1 to 1, beyond where they are to be clamped. */
  pixels(latents: Float32Array): Promise<Float32Array>;
}

export interface SubjectOptions {
  readonly guidanceScale: number;
  /** Pixels; the model's own size by default. */
  readonly width?: number;
  readonly height?: number;
  readonly signal?: AbortSignal;
}

/** @throws BookendError `unsupported` for models that only inpaint */
export function subjectOf(model: LoadedModel['model'], options: SubjectOptions): Subject {
  return 'denoiser' in model
    ? promptedSubject(model, options)
    : unconditionalSubject(model, options);
}

function promptedSubject(model: StableDiffusion, options: SubjectOptions): Subject {
  requirePlainModel(model);
  const { denoiser, textEncoder, autoencoder, schedulerConfig } = model;
  const { guidanceScale, signal } = options;
  const shape = latentShape(model, 1, options.width, options.height);
  const { downscale } = autoencoder.config;
  const tokenize = (prompt: string) => {
    const positive = { text: prompt, clipSkip: 0 };
    const negative = { text: '', clipSkip: 0 };
    const guided = denoiser.guides(guidanceScale);
    return textEncoder.tokenize(guided ? [negative, positive] : [positive]);
  };
  return {
    shape,
    guidanceScale,
    width: shape.width * downscale,
    height: shape.height * downscale,
    schedulerConfig,
    async use(plan, prompt, body) {
      const tokenized = tokenize(prompt);
      const { tokens } = tokenized;
      return denoiser.use({ ...plan, shape, tokens, guidanceScale }, async (unet) => {
        await unet.condition({ embeddings: await textEncoder.encode(tokenized, signal) }, signal);
        return body((sample, step) => unet.predict(sample, step, signal));
      });
    },
    async surround(prompt) {
      await textEncoder.encode(tokenize(prompt), signal);
      const { batch, height, width: columns, channels } = shape;
      const latents = new Float32Array(batch * height * columns * channels);
      await autoencoder.decode(latents, shape, { signal });
    },
    pixels: async (latents) => (await autoencoder.decode(latents, shape, { signal })).data,
  };
}

/** Draws at its own size, without guidance or a prompt. */
function unconditionalSubject(model: UnconditionalDiffusion, { signal }: SubjectOptions): Subject {
  const { height, width } = trainedSize(model);
  const shape = { batch: 1, height, width, channels: model.config.inChannels };
  return {
    shape,
    guidanceScale: 1,
    width,
    height,
    schedulerConfig: model.schedulerConfig,
    async use(plan, _prompt, body) {
      const unet = await model.unet.prepare({
        ...plan,
        size: { batch: 1, height, width, tokens: 0 },
      });
      try {
        await unet.condition({}, signal);
        return await body((sample, step) => {
          const input = tensor('f32', [1, height, width, shape.channels], sample);
          return unet.predict(input, step, signal);
        });
      } finally {
        unet.release();
      }
    },
    surround: async () => undefined,
    pixels: async (latents) => latents,
  };
}
