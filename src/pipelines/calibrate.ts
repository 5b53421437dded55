import type { Tensor } from '../core/tensor.ts';
import type { Graph } from '../ir/graph.ts';
import { buildUNet2DModel } from '../models/unet-2d.ts';
import { buildUNet2DConditionModel } from '../models/unet-2d-condition.ts';
import { type Calibration, observeLayerInputs } from '../quantization/calibration.ts';
import type { Executable, WeightSource } from '../runtime/backend.ts';
import { nativeBackend } from '../runtime/native/native-backend.ts';
import type { Compile } from './compiled-model.ts';
import { denoise } from './denoise.ts';
import { Denoiser } from './denoiser.ts';
import { ImageNoise } from './latents.ts';
import type { LoadedModel } from './load.ts';
import type { StepEnd } from './request.ts';
import { latentShape, promptSettings, requirePlainModel } from './stable-diffusion.ts';
import { unconditional } from './unconditional.ts';
import { UNet } from './unet.ts';

/** A denoising run to learn from. */
export interface CalibrationRun {
  readonly prompt: string;
  readonly seed: number;
  readonly steps: number;
  readonly guidanceScale: number;
  readonly onStepEnd?: (event: StepEnd) => void;
  readonly signal?: AbortSignal;
}

/**
 * Runs a model as it is used, in high precision and with its own scheduler, while the inputs of its
 * layers are observed step by step.
 */
export class Calibrator {
  readonly #model: LoadedModel;
  readonly #unet: UNet;
  readonly #run: (request: CalibrationRun, calibration: Calibration) => Promise<void>;
  /** What the latest evaluation of the observed U-Net said. */
  #outputs: Readonly<Record<string, Tensor>> = {};

  /**
   * @param layers paths of the layers whose inputs are observed
   * @param weights the U-Net's
   */
  constructor(
    model: LoadedModel,
    layers: readonly string[],
    weights: WeightSource,
    { threads }: { readonly threads?: number } = {},
  ) {
    this.#model = model;
    const observe = observeLayerInputs(layers);
    const compile: Compile = async (graph) => {
      // The parts that run once, for the time and the text, have no sample among their inputs.
      const observed = Object.hasOwn(graph.inputs, 'sample');
      const passes = observed ? [observe] : [];
      const executable = await nativeBackend.compile(graph, weights, { passes, threads });
      return observed ? this.#listen(executable) : executable;
    };
    const { origin } = model.model;
    if (model.kind === 'unconditional') {
      const { config } = model.model;
      const unet = new UNet((size) => buildUNet2DModel(config, size), compile, { origin });
      this.#unet = unet;
      this.#run = (request, calibration) => this.#unconditional(unet, request, calibration);
    } else {
      const { config } = model.model.denoiser;
      const unet = new UNet((size) => buildUNet2DConditionModel(config, size), compile, { origin });
      const denoiser = new Denoiser(config, unet);
      this.#unet = unet;
      this.#run = (request, calibration) => this.#prompted(denoiser, request, calibration);
    }
  }

  /**
   * Adds one denoising run to `calibration`.
   *
   * @throws BookendError as generating does; `aborted` leaves `calibration` in the midst of the run
   */
  async run(request: CalibrationRun, calibration: Calibration): Promise<void> {
    await this.#run(request, calibration);
  }

  dispose(): void {
    this.#unet.dispose();
  }

  #listen(executable: Executable): Executable {
    return {
      run: async (inputs, options) => {
        this.#outputs = await executable.run(inputs, options);
        return this.#outputs;
      },
      dispose: () => executable.dispose(),
    };
  }

  #onStepEnd({ onStepEnd }: CalibrationRun, calibration: Calibration) {
    return (event: StepEnd) => {
      calibration.add(event.timestep, this.#outputs);
      onStepEnd?.(event);
    };
  }

  async #unconditional(
    unet: UNet,
    request: CalibrationRun,
    calibration: Calibration,
  ): Promise<void> {
    if (this.#model.kind !== 'unconditional') return;
    await unconditional(
      { ...this.#model.model, unet },
      {
        seed: request.seed,
        numInferenceSteps: request.steps,
        onStepEnd: this.#onStepEnd(request, calibration),
        signal: request.signal,
      },
    );
  }

  async #prompted(
    denoiser: Denoiser,
    request: CalibrationRun,
    calibration: Calibration,
  ): Promise<void> {
    if (this.#model.kind !== 'stable-diffusion') return;
    const { model } = this.#model;
    const { prompt, guidanceScale, signal } = request;
    requirePlainModel(model);
    const settings = promptSettings(model, prompt, {
      guidanceScale,
      seed: request.seed,
      numInferenceSteps: request.steps,
      signal,
    });
    const shape = latentShape(model, 1);
    const run = settings.scheduler.plan(settings.steps, { batchSize: 1 });
    const schedule = run.timesteps.map(() => model.precision);
    const { tokens } = settings.tokenized;
    const plan = { shape, tokens, guidanceScale, timesteps: run.timesteps, schedule };
    await denoiser.use(plan, async (unet) => {
      const embeddings = await model.textEncoder.encode(settings.tokenized, signal);
      await unet.condition({ embeddings }, signal);
      const noise = new ImageNoise(settings.seeds, shape);
      await denoise({
        latents: noise.draw().map((value) => value * run.initNoiseSigma),
        predict: (input, step) => unet.predict(input, step, signal),
        run,
        noise,
        schedule,
        onStepEnd: this.#onStepEnd(request, calibration),
        signal,
      });
    });
  }
}

/** The U-Net of a loaded model at its own size for one image, as it is built. */
export function unetGraph(model: LoadedModel, guidanceScale: number): Graph {
  if (model.kind === 'unconditional') {
    const { config } = model.model;
    return buildUNet2DModel(config, { batch: 1, ...(config.sampleSize ?? SMALLEST) });
  }
  const { denoiser, textEncoder } = model.model;
  const { batch, height, width } = latentShape(model.model, denoiser.guides(guidanceScale) ? 2 : 1);
  const tokens = textEncoder.tokenizer.maxLength;
  return buildUNet2DConditionModel(denoiser.config, { batch, height, width, tokens });
}

/** For U-Nets that do not say; running those is refused, and asking for their layers is not. */
const SMALLEST = { height: 64, width: 64 };
