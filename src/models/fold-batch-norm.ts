import { BookendError } from '../core/errors.ts';
import { floats, type Tensor, tensor } from '../core/tensor.ts';
import type { WeightSource } from '../runtime/backend.ts';
import type { ParameterShapes } from './parameters.ts';

export interface BatchNormOptions {
  readonly epsilon: number;
  /** Whether the norms have a scale, `weight`; Keras's Inception-V3 does without. */
  readonly scale: boolean;
}

const CONVOLUTION = /^(.*)\.conv\.(weight|bias)$/;

/**
 * The tensors that a checkpoint must hold so that `foldBatchNorm` gives `folded`: in place of the bias
 * of each `PATH.conv`, what `PATH.bn` was trained to.
 */
export function unfoldedParameters(
  folded: ParameterShapes,
  { scale }: BatchNormOptions,
): ParameterShapes {
  const result = new Map<string, readonly number[]>();
  for (const [name, shape] of folded) {
    const [, path, kind] = CONVOLUTION.exec(name) ?? [];
    if (kind !== 'bias') {
      result.set(name, shape);
      continue;
    }
    if (scale) result.set(`${path}.bn.weight`, shape);
    for (const part of ['bias', 'running_mean', 'running_var']) {
      result.set(`${path}.bn.${part}`, shape);
    }
  }
  return result;
}

/**
 * Convolutions with the normalization that follows each of them (Ioffe and Szegedy, arXiv
 * 1502.03167) multiplied in: weight · s and bias = β − mean · s, with s = γ ÷ √(variance + ε).
 * Computed in float64 from `source`, which holds `PATH.conv.weight` and `PATH.bn.*`; all other
 * tensors are passed on.
 */
export function foldBatchNorm(source: WeightSource, options: BatchNormOptions): WeightSource {
  const norms = (path: string) => readNorm(source, `${path}.bn`, options);
  const hasNorm = (path: string) => source.info(`${path}.bn.bias`) !== undefined;
  return {
    *names() {
      for (const name of source.names()) {
        const normOf = /^(.*)\.bn\.(\w+)$/.exec(name);
        if (!normOf) yield name;
        else if (normOf[2] === 'bias') yield `${normOf[1]}.conv.bias`;
      }
    },
    info(name) {
      const [, path, kind] = CONVOLUTION.exec(name) ?? [];
      if (path === undefined || !hasNorm(path)) return source.info(name);
      const info = source.info(kind === 'bias' ? `${path}.bn.bias` : name);
      return info && { dtype: 'f32', shape: info.shape };
    },
    async read(name) {
      const [, path, kind] = CONVOLUTION.exec(name) ?? [];
      if (path === undefined || !hasNorm(path)) return source.read(name);
      const { scale, offset } = await norms(path);
      if (kind === 'bias') return tensor('f32', [offset.length], Float32Array.from(offset));
      return scaleRows(await source.read(name), scale);
    },
  };
}

/** y = x · scale + offset, for each channel. */
interface AffineNorm {
  readonly scale: Float64Array;
  readonly offset: Float64Array;
}

async function readNorm(
  source: WeightSource,
  path: string,
  { epsilon, scale: hasScale }: BatchNormOptions,
): Promise<AffineNorm> {
  const read = async (name: string) => floats(await source.read(`${path}.${name}`));
  const [beta, mean, variance] = [
    await read('bias'),
    await read('running_mean'),
    await read('running_var'),
  ];
  const gamma = hasScale ? await read('weight') : undefined;
  const scale = Float64Array.from(variance, (v, c) => (gamma?.[c] ?? 1) / Math.sqrt(v + epsilon));
  const bad = scale.findIndex((s) => !Number.isFinite(s));
  if (bad >= 0) {
    throw new BookendError(
      'invalid-checkpoint',
      `${path}.running_var[${bad}] is ${variance[bad]}, which is no variance; use a checkpoint of a trained network.`,
    );
  }
  return { scale, offset: scale.map((s, c) => beta[c] - mean[c] * s) };
}

function scaleRows(weight: Tensor, scale: Float64Array): Tensor {
  const values = floats(weight);
  const perRow = values.length / scale.length;
  const scaled = Float32Array.from(values, (w, i) => w * scale[Math.floor(i / perRow)]);
  return tensor('f32', weight.shape, scaled);
}
