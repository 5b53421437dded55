import type { Shape } from '../../core/shape.ts';
import type { TensorType, Value } from '../graph.ts';
import { type NumericArray, reject } from '../op.ts';
import { gelu, quickGelu, silu } from '../scalar-functions.ts';
import { gegluRows, halfOf } from './geglu.ts';
import { product, requireFloating, requireSameDType, requireShape } from './rules.ts';

/** What conv2d and linear can apply to a sum before it is stored. 'geglu' halves the channels. */
export type Activation = 'none' | 'silu' | 'gelu' | 'quickGelu' | 'geglu';

/**
 * Operands of the epilogue: (sum + bias + rowBias) → activation → + residual → × outputScale.
 * bias is [O]; rowBias is [batch, O], the time embedding; residual has the output's shape.
 */
export type EpilogueInputs = {
  readonly bias?: Value;
  readonly rowBias?: Value;
  readonly residual?: Value;
};

export type EpilogueAttributes = {
  readonly activation: Activation;
  readonly outputScale: number;
};

/** The attributes of a layer before fusion. */
export const PLAIN_EPILOGUE: EpilogueAttributes = { activation: 'none', outputScale: 1 };

const ACTIVATIONS: Record<Exclude<Activation, 'geglu'>, (x: number) => number> = {
  none: (x) => x,
  silu,
  gelu,
  quickGelu,
};

/** Checks the epilogue of a product of shape `shape` ([batch, ..., O]) and gives its output type. */
export function inferEpilogue(
  types: { bias?: TensorType; rowBias?: TensorType; residual?: TensorType },
  { activation }: EpilogueAttributes,
  { dtype, shape }: TensorType,
): TensorType {
  const channels = shape[shape.length - 1];
  const { bias, rowBias, residual } = types;
  if (bias) {
    requireFloating('bias', bias);
    requireShape('bias', bias, [channels]);
  }
  if (rowBias) {
    requireFloating('rowBias', rowBias);
    requireShape('rowBias', rowBias, [shape[0], channels]);
  }
  if (activation !== 'geglu' && !Object.hasOwn(ACTIVATIONS, activation)) {
    reject(`Activation ${activation} is unknown; use none, silu, gelu, quickGelu or geglu.`);
  }
  const output = activation === 'geglu' ? shape.with(-1, halfOf(channels)) : shape;
  if (residual) {
    requireSameDType('residual', residual, dtype);
    requireShape('residual', residual, output);
  }
  return { dtype, shape: output };
}

/** Applies the epilogue to `sums` of shape `shape`; may change `sums` in place. */
export function applyEpilogue(
  sums: Float64Array,
  shape: Shape,
  arrays: { bias?: NumericArray; rowBias?: NumericArray; residual?: NumericArray },
  { activation, outputScale }: EpilogueAttributes,
): Float64Array {
  const channels = shape[shape.length - 1];
  const perBatch = product(shape.slice(1));
  const { bias, rowBias, residual } = arrays;
  for (let i = 0; i < sums.length; i++) {
    const channel = i % channels;
    if (bias) sums[i] += bias.data[channel];
    if (rowBias) sums[i] += rowBias.data[Math.floor(i / perBatch) * channels + channel];
  }
  const out =
    activation === 'geglu' ? gegluRows(sums, channels) : sums.map(ACTIVATIONS[activation]);
  for (let i = 0; i < out.length; i++) {
    if (residual) out[i] += residual.data[i];
    out[i] *= outputScale;
  }
  return out;
}
