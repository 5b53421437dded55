import { tensor } from '../../core/tensor.ts';
import { activationOperands } from '../../quantization/qat/activation-params.ts';
import { LearnedScales } from '../../quantization/qat/learned-scales.ts';
import { type MovingRangeSettings, MovingRanges } from '../../quantization/qat/moving-ranges.ts';
import type { FakeQuantizedInput } from '../../quantization/qat/prepare.ts';
import type { QuantizedUNet } from '../../quantization/quantized-model.ts';
import type { NamedArrays } from '../../training/named-arrays.ts';
import type { LearnedActivations } from './unet-task.ts';

/** Ranges of activations that follow what the network sees; nothing of them is trained. */
export function movingActivations(
  inputs: readonly FakeQuantizedInput[],
  model: QuantizedUNet,
  settings: MovingRangeSettings,
): LearnedActivations & { readonly state: MovingRanges } {
  const state = new MovingRanges(inputs, model, settings);
  return {
    state,
    parameters: new Map(),
    withRespectTo: [],
    operands: (timesteps) => activationOperands(state, timesteps.map(model.layersAt)),
    learn(step, timesteps, outputs) {
      state.update(step, timesteps.map(model.layersAt), outputs);
      return new Map();
    },
    project: () => undefined,
    extra: () => arraysOf(state.tensors()),
    restore: (extra) => state.restore(tensorsOf(extra)),
  };
}

/** The least that a learned scale may be, as a share of the one it began with. */
const LEAST_SCALE = 1e-3;

/** Scales of activations that are trained as the weights are (LSQ, arXiv 1902.08153). */
export function learnedActivations(
  inputs: readonly FakeQuantizedInput[],
  model: QuantizedUNet,
): LearnedActivations & { readonly state: LearnedScales } {
  const state = new LearnedScales(inputs, model);
  const least = new Map(
    [...state.scales].map(([name, scales]) => [name, scales.map((scale) => LEAST_SCALE * scale)]),
  );
  return {
    state,
    parameters: state.scales,
    withRespectTo: state.names(),
    operands: (timesteps) => activationOperands(state, timesteps.map(model.layersAt)),
    learn: (_step, timesteps, outputs) => state.gradients(timesteps.map(model.layersAt), outputs),
    project() {
      for (const [name, scales] of state.scales) {
        const lowest = least.get(name)!;
        for (const [i, scale] of scales.entries()) scales[i] = Math.max(scale, lowest[i]);
      }
    },
    extra: () => new Map(),
    restore: () => undefined,
  };
}

function arraysOf(tensors: ReturnType<MovingRanges['tensors']>): NamedArrays {
  return new Map([...tensors].map(([name, { data }]) => [name, data as Float32Array]));
}

function tensorsOf(arrays: NamedArrays): ReturnType<MovingRanges['tensors']> {
  return new Map(
    [...arrays].map(([name, data]) => [
      name,
      tensor('f32', [data.length / 2, 2], data as Float32Array<ArrayBuffer>),
    ]),
  );
}
