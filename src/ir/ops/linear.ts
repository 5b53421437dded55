import type { TensorType, Value } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import type { OpDefinition } from '../op.ts';
import { concatArrays } from './concat.ts';
import {
  applyEpilogue,
  biasGradient,
  type EpilogueAttributes,
  type EpilogueInputs,
  inferEpilogue,
  inferFloatType,
  PLAIN_EPILOGUE,
  requirePlain,
} from './epilogue.ts';
import { matmul } from './matmul.ts';
import { reshape } from './reshape.ts';
import {
  product,
  requireMinimumRank,
  requireRank,
  requireSameDType,
  requireShape,
} from './rules.ts';

type Inputs = EpilogueInputs & {
  /** [batch, ..., I] */
  readonly x: Value;
  /**
   * Second source: the layer reads the concatenation of x and skip on the last axis. Where they are
   * quantized, each has its own scale.
   */
  readonly skip?: Value;
  /** [O, I]; s8, in units of weightScale, where x is quantized */
  readonly weight: Value;
};
export type LinearAttributes = EpilogueAttributes;

/**
 * x · weightᵀ + bias over the last axis, followed by the fused epilogue. The gradient rule covers
 * the plain form only: differentiate before fusing.
 */
export const linearOp: OpDefinition<Inputs, LinearAttributes> = {
  name: 'linear',
  operands: {
    x: 'required',
    skip: 'optional',
    weight: 'required',
    weightScale: 'optional',
    bias: 'optional',
    rowBias: 'optional',
    residual: 'optional',
  },
  infer(types, attributes) {
    const { x, weight } = types;
    const dtype = inferFloatType(types, attributes);
    requireMinimumRank('x', x, 2);
    requireRank('weight', weight, 2);
    const inner = sourceChannels(types);
    requireShape('weight', weight, [weight.shape[0], inner]);
    const shape = x.shape.with(-1, weight.shape[0]);
    return inferEpilogue(types, attributes, { dtype, shape });
  },
  evaluate(arrays, attributes) {
    const { weight } = arrays;
    const source = arrays.skip
      ? concatArrays(arrays.x, arrays.skip, arrays.x.shape.length - 1)
      : arrays.x;
    const [outputs, inner] = weight.shape;
    const rows = source.data.length / inner;
    const sums = new Float64Array(rows * outputs);
    for (let row = 0; row < rows; row++) {
      for (let o = 0; o < outputs; o++) {
        let total = 0;
        for (let i = 0; i < inner; i++) {
          total += source.data[row * inner + i] * weight.data[o * inner + i];
        }
        sums[row * outputs + o] = total;
      }
    }
    return applyEpilogue(sums, source.shape.with(-1, outputs), arrays, attributes);
  },
  flops: ({ x, weight }) => 2 * product(x.shape.slice(0, -1)) * product(weight.shape),
  vjp(b, inputs, _outputs, [gradient], attributes) {
    requirePlain(inputs, attributes);
    const { x, weight, bias } = inputs;
    const [outputs, inner] = weight.shape;
    const rows = product(x.shape.slice(0, -1));
    const flat = reshape(b, gradient, [rows, outputs]);
    return {
      x: reshape(b, matmul(b, flat, weight), x.shape),
      weight: matmul(b, flat, reshape(b, x, [rows, inner]), { transposeA: true }),
      ...(bias && { bias: biasGradient(b, gradient, bias) }),
    };
  },
};

/** Channels of x, or of x and skip together when there are two sources. */
export function sourceChannels({ x, skip }: { x: TensorType; skip?: TensorType }): number {
  const channels = x.shape[x.shape.length - 1];
  if (!skip) return channels;
  const extra = skip.shape[skip.shape.length - 1];
  requireSameDType('skip', skip, x.dtype);
  requireShape('skip', skip, x.shape.with(-1, extra));
  return channels + extra;
}

/** x [batch, ..., I] times weight [O, I], plus bias [O]. */
export function linear(b: GraphBuilder, x: Value, weight: Value, bias?: Value): Value {
  return b.apply('linear', { x, weight, bias }, PLAIN_EPILOGUE)[0];
}
