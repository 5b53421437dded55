import type { DType } from '../../core/dtype.ts';
import type { Shape } from '../../core/shape.ts';
import type { TensorType, Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { type NumericArray, reject } from '../op.ts';
import { gelu, quickGelu, relu, silu } from '../scalar-functions.ts';
import { cast } from './cast.ts';
import { gegluRows, halfOf } from './geglu.ts';
import { product, refuseFused, requireFloating, requireSameDType, requireShape } from './rules.ts';
import { type QuantizeAttribute, storedType } from './stored-type.ts';
import { sum } from './sum.ts';

/** What conv2d and linear can apply to a sum before it is stored. 'geglu' halves the channels. */
export type Activation = 'none' | 'silu' | 'gelu' | 'quickGelu' | 'relu' | 'geglu';

/**
 * Operands of the epilogue: (sum · weightScale + bias + rowBias) → activation → + residual →
 * × outputScale. weightScale, for s8 weights, and bias are [O]; rowBias is [batch, O], the time
 * embedding; residual has the output's shape.
 */
export type EpilogueInputs = {
  readonly weightScale?: Value;
  readonly bias?: Value;
  readonly rowBias?: Value;
  readonly residual?: Value;
};

export type EpilogueAttributes = QuantizeAttribute & {
  readonly activation: Activation;
  readonly outputScale: number;
  /** Of a layer over quantized x: the type that its floating-point result and residual have. */
  readonly floatType?: 'f32' | 'bf16';
  /** With `quantize`: the floating-point result is the first output and the u8 one the second. */
  readonly keepFloat?: true;
};

/** The attributes of a layer before fusion. */
export const PLAIN_EPILOGUE: EpilogueAttributes = { activation: 'none', outputScale: 1 };

const ACTIVATIONS: Record<Exclude<Activation, 'geglu'>, (x: number) => number> = {
  none: (x) => x,
  silu,
  gelu,
  quickGelu,
  relu,
};

type EpilogueTypes = { readonly [K in keyof EpilogueInputs]: TensorType };

/** Checks x and weight against each other; gives the type of the layer's floating-point numbers. */
export function inferFloatType(
  { x, weight, weightScale }: EpilogueTypes & { x: TensorType; weight: TensorType },
  { floatType }: EpilogueAttributes,
): DType {
  if (x.dtype !== 'u8') {
    requireFloating('x', x);
    requireSameDType('weight', weight, x.dtype);
    if (weightScale) reject('There is a weightScale over floating-point x; it goes with u8 alone.');
    if (floatType) reject('There is a floatType over floating-point x; it goes with u8 alone.');
    return x.dtype;
  }
  requireSameDType('weight', weight, 's8');
  if (!weightScale) reject('Operand weightScale is missing; s8 weights need it.');
  requireSameDType('weightScale', weightScale, 'f32');
  requireShape('weightScale', weightScale, weight.shape.slice(0, 1));
  if (!floatType) reject('Attribute floatType is missing; over u8 x it must be f32 or bf16.');
  return floatType;
}

/** Checks the epilogue of a product of type [batch, ..., O] and gives the layer's output types. */
export function inferEpilogue(
  types: EpilogueTypes,
  attributes: EpilogueAttributes,
  { dtype, shape }: TensorType,
): readonly TensorType[] {
  const { activation } = attributes;
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
    reject(`Activation ${activation} is unknown; use none, silu, gelu, quickGelu, relu or geglu.`);
  }
  const output = activation === 'geglu' ? shape.with(-1, halfOf(channels)) : shape;
  if (residual) {
    requireSameDType('residual', residual, dtype);
    requireShape('residual', residual, output);
  }
  const type = { dtype, shape: output };
  if (!attributes.keepFloat) return [storedType(type, attributes)];
  if (!attributes.quantize) reject('Attribute keepFloat goes with quantize; leave it out.');
  return [type, storedType(type, attributes)];
}

/** Applies the epilogue to `sums` of shape `shape`, once per output; may change `sums` in place. */
export function applyEpilogue(
  sums: Float64Array,
  shape: Shape,
  arrays: { readonly [K in keyof EpilogueInputs]: NumericArray },
  { activation, outputScale, keepFloat }: EpilogueAttributes,
): readonly Float64Array[] {
  const channels = shape[shape.length - 1];
  const perBatch = product(shape.slice(1));
  const { weightScale, bias, rowBias, residual } = arrays;
  for (let i = 0; i < sums.length; i++) {
    const channel = i % channels;
    if (weightScale) sums[i] *= weightScale.data[channel];
    if (bias) sums[i] += bias.data[channel];
    if (rowBias) sums[i] += rowBias.data[Math.floor(i / perBatch) * channels + channel];
  }
  const out =
    activation === 'geglu' ? gegluRows(sums, channels) : sums.map(ACTIVATIONS[activation]);
  for (let i = 0; i < out.length; i++) {
    if (residual) out[i] += residual.data[i];
    out[i] *= outputScale;
  }
  return keepFloat ? [out, out] : [out];
}

/** Ends the gradient rule of a layer unless it has the form that models build it in. */
export function requirePlain(
  inputs: { readonly [K in 'skip' | keyof EpilogueInputs]?: Value },
  { activation, outputScale }: EpilogueAttributes,
): void {
  const { skip, weightScale, rowBias, residual } = inputs;
  const extended = skip ?? weightScale ?? rowBias ?? residual;
  if (extended || activation !== 'none' || outputScale !== 1) refuseFused();
}

/** The gradient of a bias [O] from that of the output [..., O], summed in the bias's precision. */
export function biasGradient(b: GraphBuilder, gradient: Value, bias: Value): Value {
  const axes = gradient.shape.slice(0, -1).map((_, axis) => axis);
  return sum(b, cast(b, gradient, bias.dtype), { axes });
}
