import { BookendError } from '../core/errors.ts';
import { type ImageToImageRequest, imageToImage } from './image-to-image.ts';
import { type InpaintRequest, inpaint } from './inpaint.ts';
import { type LoadOptions, loadModel } from './load.ts';
import type { GenerationResult, RunRequest } from './request.ts';
import type { StableDiffusion } from './stable-diffusion.ts';
import { type TextToImageRequest, textToImage } from './text-to-image.ts';
import { type UnconditionalDiffusion, unconditional } from './unconditional.ts';

/** A loaded model that is called like a function. */
export type Pipeline<Model, Arguments extends unknown[]> = {
  (...args: Arguments): Promise<GenerationResult>;
  readonly model: Model;
  /** Frees weights and buffers and closes the files. */
  dispose(): Promise<void>;
};

/** Where pipelines of one kind come from. */
export interface PipelineType<Model, Arguments extends unknown[]> {
  /**
   * Loads a model from a folder in the layout of diffusers, a single `.safetensors` file of Stable
   * Diffusion 1.x or 2.x, or a hub id (looked up in the local cache).
   *
   * @throws BookendError with a sentence that says what was found, what was expected, what to do
   */
  fromPretrained(reference: string, options?: LoadOptions): Promise<Pipeline<Model, Arguments>>;
}

function pipelineType<Model extends { dispose(): Promise<void> }, Arguments extends unknown[]>(
  kind: 'stable-diffusion' | 'unconditional',
  run: (model: Model, ...args: Arguments) => Promise<GenerationResult>,
): PipelineType<Model, Arguments> {
  return {
    async fromPretrained(reference, options) {
      const loaded = await loadModel(reference, options);
      if (loaded.kind !== kind) {
        await loaded.dispose();
        throw new BookendError(
          'invalid-argument',
          `${reference} holds a ${loaded.kind} model where a ${kind} one was expected; use the pipeline of its kind.`,
        );
      }
      const model = loaded.model as unknown as Model;
      const call = (...args: Arguments) => run(model, ...args);
      return Object.assign(call, { model, dispose: () => model.dispose() });
    },
  };
}

/** Text to image. */
export const StableDiffusionPipeline = pipelineType<
  StableDiffusion,
  [prompt: string, request?: TextToImageRequest]
>('stable-diffusion', textToImage);

/** Text and image to image. */
export const StableDiffusionImg2ImgPipeline = pipelineType<
  StableDiffusion,
  [prompt: string, request: ImageToImageRequest]
>('stable-diffusion', imageToImage);

/** Text, image and mask to image. */
export const StableDiffusionInpaintPipeline = pipelineType<
  StableDiffusion,
  [prompt: string, request: InpaintRequest]
>('stable-diffusion', inpaint);

/** Images from noise alone: models saved as DDPMPipeline or DDIMPipeline. */
export const UnconditionalPipeline = pipelineType<UnconditionalDiffusion, [request?: RunRequest]>(
  'unconditional',
  unconditional,
);
