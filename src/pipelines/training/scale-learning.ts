import { floats, type Tensor, tensor } from '../../core/tensor.ts';
import { gradientName } from '../../passes/differentiate.ts';
import {
  type ActivationParams,
  activationOperands,
} from '../../quantization/qat/activation-params.ts';
import { LearnedScales } from '../../quantization/qat/learned-scales.ts';
import { type MovingRangeSettings, MovingRanges } from '../../quantization/qat/moving-ranges.ts';
import type { PreparedGraph } from '../../quantization/qat/prepare.ts';
import type { QuantizedUNet } from '../../quantization/quantized-model.ts';
import type { WeightSource } from '../../runtime/backend.ts';
import { sharedFloats } from '../../runtime/native/shared-floats.ts';
import type { NamedArrays } from '../../training/named-arrays.ts';

/**
 * How scales come about: `held` as calibration left them; `moving`, those of activations as moving
 * averages of what is seen; `learned`, all of them trained.
 */
export type ScaleLearning =
  | { readonly kind: 'held' }
  | ({ readonly kind: 'moving' } & Partial<MovingRangeSettings>)
  | { readonly kind: 'learned'; readonly rate?: number };

/** The scales of a fake-quantized network while it is trained. */
export interface ScaleLearner {
  /** Of activations. */
  readonly activations: ActivationParams;
  /** What the optimizer changes for them; nothing where they are averages. */
  readonly parameters: NamedArrays;
  /** Graph parameters that follow from `parameters`, read by the network in place. */
  readonly inPlace: NamedArrays;
  /** Graph inputs and parameters whose gradients it wants to see. */
  readonly withRespectTo: readonly string[];
  /** What the network is fed for samples at these timesteps. */
  operands(timesteps: readonly number[]): Record<string, Tensor>;
  /** Told what the network gave, before an optimizer step; gives the gradients of `parameters`. */
  learn(
    step: number,
    timesteps: readonly number[],
    outputs: Readonly<Record<string, Tensor>>,
  ): NamedArrays;
  /** Makes the scales those of `parameters`, or of others of the same names. */
  apply(parameters?: NamedArrays): void;
  /** Copies of what changes other than `parameters`. */
  extra(): NamedArrays;
  restore(extra: NamedArrays): void;
}

/** Scales that stay as they are; weights alone are trained. */
export function heldScales({ inputs }: PreparedGraph, model: QuantizedUNet): ScaleLearner {
  const state = new LearnedScales(inputs, model);
  return {
    activations: state,
    parameters: new Map(),
    inPlace: new Map(),
    withRespectTo: [],
    operands: (timesteps) => activationOperands(state, timesteps.map(model.layersAt)),
    learn: () => new Map(),
    apply: () => undefined,
    extra: () => new Map(),
    restore: () => undefined,
  };
}

/** Ranges of activations that follow what the network sees; nothing of them is trained. */
export function movingScales(
  { inputs }: PreparedGraph,
  model: QuantizedUNet,
  settings: MovingRangeSettings,
): ScaleLearner {
  const state = new MovingRanges(inputs, model, settings);
  return {
    activations: state,
    parameters: new Map(),
    inPlace: new Map(),
    withRespectTo: [],
    operands: (timesteps) => activationOperands(state, timesteps.map(model.layersAt)),
    learn(step, timesteps, outputs) {
      state.update(step, timesteps.map(model.layersAt), outputs);
      return new Map();
    },
    apply: () => undefined,
    extra: () =>
      new Map([...state.tensors()].map(([name, { data }]) => [name, data as Float32Array])),
    restore: (extra) => state.restore(tensorsOf(extra)),
  };
}

function tensorsOf(arrays: NamedArrays): ReadonlyMap<string, Tensor> {
  return new Map(
    [...arrays].map(([name, data]) => [
      name,
      tensor('f32', [data.length / 2, 2], data as Float32Array<ArrayBuffer>),
    ]),
  );
}

/** How much faster the logarithm of a scale learns than a weight does, by default. */
const RATE = 100;

/**
 * Scales of weights and activations that are trained (LSQ, arXiv 1902.08153). What the optimizer sees
 * of a scale s is θ in s = s₀·exp(rate·θ): AdamW moves every parameter by about its learning rate,
 * whatever its size, and scales differ by orders of magnitude and have to stay positive.
 *
 * @param weights where the scales of weights to begin with are
 */
export async function learnedScales(
  { inputs, weightScales }: PreparedGraph,
  model: QuantizedUNet,
  weights: WeightSource,
  rate = RATE,
): Promise<ScaleLearner> {
  const state = new LearnedScales(inputs, model);
  const ofWeights = new Map<string, Float32Array>();
  for (const name of weightScales) {
    const values = floats(await weights.read(name));
    const array = sharedFloats(values.length);
    array.set(values);
    ofWeights.set(name, array);
  }
  const scales = new Map([...state.scales, ...ofWeights]);
  const start = new Map([...scales].map(([name, values]) => [name, values.slice()]));
  const parameters = new Map(
    [...scales].map(([name, { length }]) => [`log ${name}`, sharedFloats(length)]),
  );
  return {
    activations: state,
    parameters,
    inPlace: ofWeights,
    withRespectTo: [...state.names(), ...weightScales],
    operands: (timesteps) => activationOperands(state, timesteps.map(model.layersAt)),
    learn(_step, timesteps, outputs) {
      const gradients = new Map(state.gradients(timesteps.map(model.layersAt), outputs));
      for (const name of weightScales) gradients.set(name, floats(outputs[gradientName(name)]));
      return new Map(
        [...gradients].map(([name, gradient]) => {
          const values = scales.get(name)!;
          return [`log ${name}`, gradient.map((g, i) => rate * values[i] * g)];
        }),
      );
    },
    apply(logarithms = parameters) {
      for (const [name, values] of scales) {
        const from = start.get(name)!;
        const exponents = logarithms.get(`log ${name}`)!;
        for (const [i, x] of exponents.entries()) values[i] = from[i] * Math.exp(rate * x);
      }
    },
    extra: () => new Map(),
    restore: () => undefined,
  };
}
